//! The scale of a chart: round ticks, and where on it a value stands, in integers.
//!
//! Invariant: zero is on every scale, and positions are thousandths of its height from the bottom.

/// How many steps a scale has at most.
const STEPS_MAX: i128 = 4;

/// A scale from a round number at or below the least value to one at or above the largest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale {
    pub low: i128,
    pub high: i128,
    pub step: i128,
}

impl Scale {
    /// The scale of some values, whose ticks are multiples of `unit`.
    pub fn of(values: impl Iterator<Item = i128>, unit: i128) -> Self {
        let (mut least, mut most) = (0, 0);
        for value in values {
            least = value.min(least);
            most = value.max(most);
        }
        let span = most.saturating_sub(least);
        let mut power = unit;
        let step = 'found: loop {
            for factor in [1, 2, 5] {
                let step = power * factor;
                if step * STEPS_MAX >= span || step > i128::MAX / 100 {
                    break 'found step;
                }
            }
            power *= 10;
        };
        let low = least.div_euclid(step) * step;
        let high = (most + step - 1).div_euclid(step).max(1) * step;
        Self { low, high, step }
    }

    /// Where a value stands.
    pub fn at(&self, value: i128) -> i64 {
        thousandths(value.saturating_sub(self.low), self.high.saturating_sub(self.low))
    }

    /// The round values from the lowest to the highest.
    pub fn ticks(&self) -> impl Iterator<Item = i128> {
        let Self { low, high, step } = *self;
        (0..=2 * STEPS_MAX).map(move |n| low + n * step).take_while(move |tick| *tick <= high)
    }
}

/// `part / whole` in thousandths, within 0 and 1000; 0 of nothing.
pub(super) fn thousandths(part: i128, whole: i128) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let scaled = part.saturating_mul(1000) / whole;
    i64::try_from(scaled.clamp(0, 1000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[i128], ticks: &[i128]) {
        let scale = Scale::of(values.iter().copied(), 1);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), ticks, "ticks of {values:?}");
        for value in values {
            assert!((0..=1000).contains(&scale.at(*value)), "{value} on {scale:?}");
        }
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        check(&[], &[0, 1]);
        check(&[0], &[0, 1]);
        check(&[3], &[0, 1, 2, 3]);
        check(&[7, 2], &[0, 2, 4, 6, 8]);
        check(&[98_765], &[0, 50_000, 100_000]);
        check(&[-30, 100], &[-50, 0, 50, 100]);
        check(&[-5, -1], &[-6, -4, -2, 0, 2]);
        check(&[i128::MAX / 200], &[0, 5, 10].map(|n| n * 10_i128.pow(35)));
    }
}
