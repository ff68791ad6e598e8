//! Where the partitions of the views' topics begin and end, as a mark remembers it.
//!
//! Invariant: a topic whose end lies before one that was seen, or whose beginning lies behind it,
//! is not the one that was written: it was made anew, or records were taken out of it. Its mark
//! says nothing of it then.

use std::time::{Duration, Instant};

use super::encode::Encoder;
use super::reader::Reader;
use crate::error::SinkError;

/// How often they are looked at while a session lasts.
const EVERY: Duration = Duration::from_secs(60);

/// The first and the next offset of each partition, topic by topic.
pub(super) type Bounds = Vec<Vec<(i64, i64)>>;

/// Whether partitions hold less than they did.
pub(super) fn shrunk(before: &Bounds, now: &Bounds) -> bool {
    let topics = before.iter().flatten().zip(now.iter().flatten());
    let mut pairs = topics.map(|((low, end), (low_now, end_now))| low_now > low || end_now < end);
    pairs.any(|shrunk| shrunk) || before.iter().flatten().count() > now.iter().flatten().count()
}

/// What is known of them.
pub(super) struct Known {
    bounds: Bounds,
    /// When they are due to be looked at again.
    due: Option<Instant>,
}

impl Known {
    /// As they are now, which a mark may have remembered otherwise.
    pub(super) fn now(
        reader: &Reader,
        encoders: &[Encoder],
        partitions: &[i32],
    ) -> Result<Self, SinkError> {
        let topics = encoders.iter().zip(partitions);
        let of = |(encoder, partitions): (&Encoder, &i32)| {
            (0..*partitions).map(|partition| reader.bounds(&encoder.topic, partition)).collect()
        };
        let bounds = topics.map(of).collect::<Result<_, _>>()?;
        Ok(Self { bounds, due: Some(Instant::now() + EVERY) })
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether it is time to look again.
    pub(super) fn due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// The next write looks again.
    pub(super) fn outdate(&mut self) {
        self.due = None;
    }

    /// What they are now in the place of what they were.
    ///
    /// # Errors
    /// A transient one where there is less: the next session sees what is left.
    pub(super) fn renew(&mut self, now: Self) -> Result<(), SinkError> {
        if shrunk(&self.bounds, &now.bounds) {
            let what = "Kafka: a topic of the sink was made anew, or records were taken out of it";
            return Err(SinkError::transient(what));
        }
        *self = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_told_from_more() {
        let before = vec![vec![(0, 5), (0, 0)], vec![(2, 9)]];
        let check = |now: Bounds, expected| assert_eq!(shrunk(&before, &now), expected, "{now:?}");
        check(before.clone(), false);
        check(vec![vec![(0, 6), (0, 1)], vec![(2, 9)]], false);
        check(vec![vec![(0, 5), (0, 0)], vec![(2, 8)]], true);
        check(vec![vec![(0, 5), (0, 0)], vec![(3, 9)]], true);
        check(vec![vec![(0, 5), (0, 0)]], true);
        assert!(!shrunk(&Vec::new(), &before));
    }
}
