//! Requests to the APIs of TikTok: bounded, repeated where that helps, and silent about secrets.
//!
//! Invariant: no error names an address, a header or a body; those hold credentials. A request ends
//! within its time, and the wait between two ends when the poller is to stop.

use std::time::Duration;

use thiserror::Error;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::poller::{PollError, Stop};

/// How often a request is sent before it is given up for this round.
const TRIES_MAX: u32 = 4;
/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The longest wait that an answer may ask for between two tries.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The largest answer; 100 orders are below 1 MB.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The poller is to stop.
    #[error("stopped")]
    Stopped,
    /// The credentials are no longer good.
    #[error("{0}")]
    Denied(String),
    /// It may go well the next time.
    #[error("{0}")]
    Transient(String),
}

impl CallError {
    /// What a round ends with; one that was stopped did not fail.
    ///
    /// # Errors
    /// [`PollError`] unless it was stopped.
    pub fn ends(self, remedy: &str) -> Result<(), PollError> {
        match self {
            Self::Stopped => Ok(()),
            Self::Denied(why) => Err(PollError::Permanent(format!("{why}: {remedy}"))),
            Self::Transient(why) => Err(PollError::Transient(why)),
        }
    }
}

/// Sends requests.
pub struct Transport {
    agent: Agent,
    pause: Duration,
}

/// An answer: its status and its text.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Transport {
    /// A transport that waits `pause` before the second try, and twice as long before each next.
    #[must_use]
    pub fn new(pause: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(REQUEST_MAX))
            .build();
        Self { agent: config.into(), pause }
    }

    /// Sends a request, made anew for every try; `what` is its name in errors.
    ///
    /// # Errors
    /// [`CallError`] when it was stopped, or every try was in vain.
    pub fn send(
        &self,
        what: &str,
        stop: &Stop,
        request: impl Fn(&Agent) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, CallError> {
        let mut pause = self.pause;
        for tries in 1.. {
            if stop.asked() {
                return Err(CallError::Stopped);
            }
            let (why, asked) = match request(&self.agent) {
                Ok(response) if !matches!(response.status().as_u16(), 429 | 500..=599) => {
                    match text(response) {
                        Ok(answer) => return Ok(answer),
                        Err(error) => (format!("{what}: {}", reason(&error)), None),
                    }
                }
                Ok(response) => {
                    let status = response.status().as_u16();
                    (format!("{what}: answered with {status}"), retry_after(&response))
                }
                Err(error) => (format!("{what}: {}", reason(&error)), None),
            };
            if tries == TRIES_MAX {
                return Err(CallError::Transient(why));
            }
            if stop.wait(asked.unwrap_or(pause).min(WAIT_MAX)) {
                return Err(CallError::Stopped);
            }
            pause = pause.saturating_mul(2);
        }
        Err(CallError::Stopped)
    }
}

fn text(mut response: Response<Body>) -> Result<Answer, ureq::Error> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    Ok(Answer { status, text: body.read_to_string()? })
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What failed, without the address.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "the host is not found".to_owned(),
        ureq::Error::Io(cause) => format!("the connection failed: {}", cause.kind()),
        ureq::Error::BodyExceedsLimit(_) => format!("more than {ANSWER_BYTES_MAX} bytes"),
        _ => "the request could not be sent".to_owned(),
    }
}
