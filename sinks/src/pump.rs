//! One sink by hand: a courier and its sink, one effect at a time, without a runtime.
//!
//! Invariant: a step makes at most one effect, and the same steps over the same target give the
//! same outcome, so that a simulation can crash between any two.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::courier::Courier;
use crate::error::SinkError;
use crate::sink::{BoxFuture, Mark, Sink};

/// An effect of the in-memory sink is ready long before; one that is not will never be.
const POLLS_MAX: u32 = 10_000;

/// A courier and its sink.
pub struct Pump {
    /// What the sink is owed.
    pub courier: Courier,
    /// The sink.
    pub sink: Box<dyn Sink>,
    halted: bool,
}

/// What a step did.
#[derive(Debug)]
pub enum Stepped {
    /// Nothing: the target is up to date, or there is nothing to bring yet.
    Idle,
    /// The target said what it holds.
    Resumed(Option<Mark>),
    /// The target confirmed a batch.
    Wrote(Mark),
    /// The effect failed and may be tried again.
    Failed(SinkError),
    /// The effect was cut off; whether it happened, only the target knows.
    CutOff,
    /// The sink refuses for good; later steps do nothing and say [`Stepped::Idle`].
    Halted(SinkError),
}

impl Pump {
    /// A pump over a sink, for the state folder `state`.
    #[must_use]
    pub fn new(state: u128, sink: Box<dyn Sink>) -> Self {
        Self { courier: Courier::new(state), sink, halted: false }
    }

    /// Does the next effect, if there is one, polling it until it is ready.
    pub fn step(&mut self) -> Stepped {
        self.step_within(POLLS_MAX)
    }

    /// The same, but drops the effect if it is not ready after so many polls, as a crash would.
    pub fn step_within(&mut self, polls: u32) -> Stepped {
        ready(self.advance_within(polls)).unwrap_or(Stepped::CutOff)
    }

    /// The same inside a runtime.
    pub async fn advance_within(&mut self, polls: u32) -> Stepped {
        if self.halted {
            return Stepped::Idle;
        }
        let stepped =
            if self.courier.unsure() { self.resume(polls).await } else { self.write(polls).await };
        self.halted = matches!(stepped, Stepped::Halted(_));
        stepped
    }

    async fn resume(&mut self, polls: u32) -> Stepped {
        match within(self.sink.resume(), polls).await {
            Some(Ok(mark)) => {
                self.courier.resumed(mark);
                Stepped::Resumed(mark)
            }
            Some(Err(error)) => failed(error),
            None => Stepped::CutOff,
        }
    }

    async fn write(&mut self, polls: u32) -> Stepped {
        let Some(batch) = self.courier.next() else { return Stepped::Idle };
        // Until the answer is there the batch counts as failed, also if this future is dropped.
        self.courier.failed();
        match within(self.sink.write(&batch), polls).await {
            Some(Ok(())) => {
                self.courier.wrote();
                Stepped::Wrote(batch.to)
            }
            Some(Err(error)) => failed(error),
            None => Stepped::CutOff,
        }
    }
}

fn failed(error: SinkError) -> Stepped {
    if error.passing() { Stepped::Failed(error) } else { Stepped::Halted(error) }
}

/// Polls an effect at most so many times and then drops it.
async fn within<T>(mut effect: BoxFuture<'_, T>, mut polls: u32) -> Option<T> {
    std::future::poll_fn(move |context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        effect.as_mut().poll(context).map(Some)
    })
    .await
}

/// Runs a future that never waits for anybody else; `None` if it does not get ready.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..=POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}
