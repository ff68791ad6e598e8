//! What strikes a call to the in-memory target: written down in advance, or drawn from a seed.
//!
//! Invariant: the same calls meet the same faults.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::random::Random;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails before it has an effect.
    Refuse,
    /// A write is made and its answer gets lost; the next write, not a resume, is struck.
    LoseAnswer,
    /// A write's rows change on their way: the target finds out and applies nothing; the next
    /// write, not a resume, is struck.
    Corrupt,
    /// The answer takes its time: so many polls before the effect and so many after it.
    Delay {
        /// Polls before the effect.
        before: u32,
        /// Polls between the effect and the answer.
        after: u32,
    },
    /// So many calls in a row reach nobody.
    Unreachable {
        /// How many.
        calls: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Resume,
    Write,
}

/// No outage of a seed is longer, so that a bounded number of tries gets over it.
const UNREACHABLE_CALLS_MAX: u64 = 6;
const DELAY_POLLS_MAX: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct Faults {
    script: VecDeque<Fault>,
    seeded: Option<(Random, u64)>,
}

impl Faults {
    pub(super) fn seeded(seed: u64, permille: u64) -> Self {
        Self { script: VecDeque::new(), seeded: Some((Random::new(seed), permille)) }
    }

    pub(super) fn script(&mut self, fault: Fault) {
        self.script.push_back(fault);
    }

    pub(super) fn strike(&mut self, call: Call) -> Option<Fault> {
        if self.script.is_empty()
            && let Some((random, permille)) = &mut self.seeded
            && random.below(1000) < *permille
        {
            self.script.push_back(drawn(random));
        }
        match self.script.front_mut()? {
            Fault::LoseAnswer | Fault::Corrupt if call == Call::Resume => None,
            Fault::Unreachable { calls } if *calls > 1 => {
                *calls -= 1;
                Some(Fault::Unreachable { calls: *calls })
            }
            _ => self.script.pop_front(),
        }
    }
}

fn drawn(random: &mut Random) -> Fault {
    let mut up_to = |limit: u64| random.below(limit + 1) as u32;
    match up_to(4) {
        0 => Fault::Refuse,
        1 => Fault::LoseAnswer,
        2 => Fault::Corrupt,
        3 => Fault::Delay { before: up_to(DELAY_POLLS_MAX), after: up_to(DELAY_POLLS_MAX) },
        _ => Fault::Unreachable { calls: up_to(UNREACHABLE_CALLS_MAX) },
    }
}

/// Ready after so many polls; asks to be polled again each time.
pub(super) struct Polls(pub u32);

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
