//! The doors: a bounded body, a checked credential, an append; and only then 200.
//!
//! ```text
//! request ─▶ token known? ─▶ bounded body ─▶ signature ─▶ intake ─▶ journal ─▶ 200
//!               └ 401         └ 408, 413, 503  └ 401, 429   └ 503 and Retry-After
//! ```
//!
//! Invariant: what is answered with 200 is on disk; what is not is answered so that the sender
//! tries again, or learns that it never will do. Every source's door is made of these parts.

pub mod budget;
pub mod keyring;
pub mod limits;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ionflux_schemas::delivery::Delivery;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::timeout;

use self::budget::{Budget, Place, Sender, Shares, UNCOUNTED_BYTES};
use self::limits::{Limiter, slow_down};
use crate::clock::Clock;
use crate::inbox::Refused;
use crate::intake::Intake;

/// The largest body of a webhook: Shopify's own are below 1 MB; orders with thousands of lines
/// come near it.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// The longest value of a header that is kept.
const HEADER_BYTES_MAX: usize = 512;
/// What bodies of those who are known may hold on their way in, and the same again those of
/// everybody else: nobody keeps the others out.
const SHARES: Shares = Shares { all: 256 << 20, of_workspace: 128 << 20, of_peer: 64 << 20 };
/// How long a body may take to come, and then to be kept; Shopify gives up after 5 s.
pub(crate) const DELIVERY_MAX: Duration = Duration::from_secs(10);

/// What every door is made of. Clones share their limits.
#[derive(Clone)]
pub struct Doors {
    /// Where deliveries go.
    pub intake: Intake,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    known: Budget,
    claimed: Budget,
    taken: IntCounterVec,
    limiter: Option<Arc<Limiter>>,
}

/// A body that came whole, and its room among those on their way in.
pub struct Taken {
    /// The body.
    pub bytes: Bytes,
    /// Its room, to be held as long as the body is.
    pub place: Place,
}

/// Why a body did not come whole.
enum Unread {
    Broken,
    NoRoom,
}

impl Doors {
    /// Doors that count what they answer in a registry.
    ///
    /// # Errors
    /// When the name of their metric is taken, which is a bug.
    pub fn new(
        intake: Intake,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let help = "Webhooks answered, by the status of the answer";
        let options = Opts::new("ionflux_webhooks_total", help);
        let taken = IntCounterVec::new(options, &["source", "status"])?;
        registry.register(Box::new(taken.clone()))?;
        let [known, claimed] = [SHARES, SHARES].map(Budget::new);
        Ok(Self { intake, clock, known, claimed, taken, limiter: None })
    }

    /// The same doors with a limit for each workspace, whichever of them it sends to.
    #[must_use]
    pub fn limited(self, limiter: Limiter) -> Self {
        Self { limiter: Some(Arc::new(limiter)), ..self }
    }

    /// Lets a number of deliveries of a workspace in. To be asked once its credential is checked:
    /// nobody else may use up what it may send.
    ///
    /// # Errors
    /// The answer to give instead.
    pub fn allow(&self, workspace: &str, deliveries: usize) -> Result<(), Box<Response>> {
        let limiter = self.limiter.as_ref();
        let taken = limiter.map_or(Ok(()), |limiter| limiter.take(workspace, deliveries));
        taken.map_err(|seconds| Box::new(slow_down(seconds)))
    }

    /// Counts answers of a source from the first scrape on, so that a rate misses none of them.
    pub fn announce(&self, source: &str) {
        for status in ["200", "401", "503"] {
            self.taken.with_label_values(&[source, status]).reset();
        }
    }

    /// Counts an answer.
    pub fn count(&self, source: &str, answer: &Response) {
        self.taken.with_label_values(&[source, answer.status().as_str()]).inc();
    }

    /// Takes a body of at most so many bytes.
    ///
    /// # Errors
    /// The answer to give instead.
    pub async fn body(
        &self,
        sender: Sender<'_>,
        body: Body,
        max_bytes: usize,
    ) -> Result<Taken, Box<Response>> {
        // What says that it is too long is not read to find out.
        if body.size_hint().lower() > max_bytes as u64 {
            let detail = format!("the body is larger than {max_bytes} bytes");
            return Err(Box::new(refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail)));
        }
        let budget = match sender {
            Sender::Known(_) => &self.known,
            Sender::Claimed { .. } => &self.claimed,
        };
        let mut place = budget.place(sender);
        match timeout(DELIVERY_MAX, whole(body, max_bytes, &mut place)).await {
            Ok(Ok(bytes)) => Ok(Taken { bytes: bytes.into(), place }),
            Ok(Err(Unread::NoRoom)) => Err(Box::new(busy(Refused::Full { retry_after_s: 1 }))),
            Ok(Err(Unread::Broken)) => {
                let detail = format!("the body is broken off, or larger than {max_bytes} bytes");
                Err(Box::new(refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail)))
            }
            Err(_) => {
                let detail = "the body did not come in time";
                Err(Box::new(refusal(StatusCode::REQUEST_TIMEOUT, detail)))
            }
        }
    }

    /// Keeps a delivery.
    ///
    /// # Errors
    /// The answer to give if it was not kept.
    pub async fn keep(&self, delivery: Delivery) -> Result<(), Box<Response>> {
        match timeout(DELIVERY_MAX, self.intake.deliver(delivery)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refused)) => Err(Box::new(busy(refused))),
            // It may yet be kept: sent again, it is a duplicate and counts once.
            Err(_) => Err(Box::new(busy(Refused::Full { retry_after_s: 1 }))),
        }
    }
}

/// Reads a body; its place grows with what came, whatever it says of its length.
async fn whole(mut body: Body, max_bytes: usize, place: &mut Place) -> Result<Vec<u8>, Unread> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(declared.min(UNCOUNTED_BYTES));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if data.len() > max_bytes - bytes.len() {
            return Err(Unread::Broken);
        }
        place.grow(bytes.len() + data.len()).map_err(|_| Unread::NoRoom)?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// A header that is text of a sane length.
#[must_use]
pub fn header_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= HEADER_BYTES_MAX).then(|| text.to_owned())
}

/// The answer to a delivery that was not kept: when to come again, or that it never will do.
#[must_use]
pub fn busy(refused: Refused) -> Response {
    let Some(seconds) = refused.retry_after_s() else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, &refused.to_string());
    };
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, &refused.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// A problem in the form of RFC 9457.
#[must_use]
pub fn refusal(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Refused");
    let body = serde_json::json!({ "status": status.as_u16(), "title": title, "detail": detail });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}
