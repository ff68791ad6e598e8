//! Spreading an amount over lines in proportion to their weights.
//!
//! Invariant: the parts sum to the whole; each but the last weighted one is rounded half-even.

use ionflux_schemas::money::div_half_even;

/// The parts of `total`, one per weight; none where no weight is above zero.
pub fn spread(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|&weight| i128::from(weight.max(0))).sum();
    let mut parts = vec![0; weights.len()];
    let Some(last) = weights.iter().rposition(|&weight| weight > 0) else { return parts };
    let mut rest = total;
    for (part, &weight) in parts.iter_mut().zip(weights).take(last) {
        let share = div_half_even(i128::from(total) * i128::from(weight.max(0)), sum);
        // A share is no larger than the whole, so it fits.
        *part = share.and_then(|share| i64::try_from(share).ok()).unwrap_or_default();
        rest -= *part;
    }
    if let Some(part) = parts.get_mut(last) {
        *part = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_remainder_falls_on_the_last_weighted_line() {
        assert_eq!(spread(100, &[1, 1, 1]), [33, 33, 34]);
        assert_eq!(spread(5, &[1, 1, 0]), [2, 3, 0]);
        assert_eq!(spread(5, &[0, 0]), [0, 0]);
        assert_eq!(spread(5, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(
            total in 0_i64..10_000_000,
            weights in prop::collection::vec(0_i64..1_000_000, 1..8),
        ) {
            prop_assume!(weights.iter().any(|&weight| weight > 0));
            prop_assert_eq!(spread(total, &weights).iter().sum::<i64>(), total);
        }
    }
}
