//! Sums: several exact totals as one difference.
//!
//! Invariant: addition is commutative, associative and has inverses, so that differential dataflow
//! may add updates in any order and a retraction undoes exactly what it retracts.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Semigroup};

/// `N` totals that are added side by side: counts, and amounts in minor units.
///
/// The facts of one epoch cannot overflow them (see `EPOCH_FACTS_MAX` in the schemas crate);
/// totals over epochs are held wider by whoever keeps them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sums<const N: usize>(pub [i64; N]);

impl<const N: usize> IsZero for Sums<N> {
    fn is_zero(&self) -> bool {
        self.0.iter().all(|total| *total == 0)
    }
}

impl<const N: usize> Semigroup for Sums<N> {
    #[inline]
    fn plus_equals(&mut self, other: &Self) {
        for (total, add) in self.0.iter_mut().zip(&other.0) {
            *total += add;
        }
    }
}

impl<const N: usize> Monoid for Sums<N> {
    fn zero() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Abelian for Sums<N> {
    fn negate(&mut self) {
        for total in &mut self.0 {
            *total = -*total;
        }
    }
}
