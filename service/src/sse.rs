//! Server-sent events: a task per stream behind a queue of one, so that a slow reader waits alone.
//!
//! Invariant: a stream holds its permit for as long as its task lives, and the task ends when its
//! reader goes or the store closes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::problem::Problem;

/// The most streams at once: one page each, and each costs one task and one open connection.
pub(crate) const STREAMS_MAX: usize = 256;
/// A line to keep proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a stream's task puts its events.
pub(crate) struct Outlet {
    events: mpsc::Sender<Result<Event, Infallible>>,
    _permit: OwnedSemaphorePermit,
}

/// The reader went away.
pub(crate) struct Gone;

impl Outlet {
    /// Waits until the reader has room.
    pub async fn send(&self, name: &str, data: String) -> Result<(), Gone> {
        let event = Event::default().event(name).data(data);
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }

    /// Returns when the reader has gone.
    pub async fn gone(&self) {
        self.events.closed().await;
    }
}

/// A stream and the outlet that feeds it, or a refusal when there are too many already.
pub(crate) fn open(streams: &Arc<Semaphore>) -> Result<(Outlet, Response), Problem> {
    let full = |_| Problem::busy(format!("{STREAMS_MAX} streams are open already"));
    let permit = Arc::clone(streams).try_acquire_owned().map_err(full)?;
    let (events, queue) = mpsc::channel(1);
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(ReceiverStream::new(queue)).keep_alive(alive).into_response();
    // Proxies that gather an answer before they pass it on would hold every event back.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    Ok((Outlet { events, _permit: permit }, response))
}
