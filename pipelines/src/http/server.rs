//! The server: takes connections, speaks HTTP/1.1 on each, and ends when it is asked to.
//!
//! Invariant: after a stop no connection is taken and none waits for a further request; those
//! under way are answered first, within a time.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use ionflux_sources::doors::budget::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::places::{Place, Places};
use super::stream::Moving;
use super::timed::Timed;
use super::tls::Tls;
use super::{Limits, guard};

/// The longest head of a request: what proxies usually let through, several times over. Headers
/// are bounded by their number as well, to hyper's hundred.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// What a connection may hold of what came and of what leaves, each.
const BUFFER_BYTES_MAX: usize = 128 << 10;
/// How long to wait when there are no file handles for a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A server at work; it ends when it is drained or dropped.
pub struct Server {
    stopping: watch::Sender<bool>,
    drain: Duration,
}

/// What every connection is served with.
struct Shared {
    router: Router,
    limits: Limits,
    tls: Option<Tls>,
    http: Builder,
}

impl Server {
    /// Serves routes on a listener, within the runtime this is called in.
    #[must_use]
    pub fn start(listener: TcpListener, router: Router, tls: Option<Tls>, limits: Limits) -> Self {
        let (stopping, asked) = watch::channel(false);
        let mut http = Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX);
        let shared = Arc::new(Shared { router, limits, tls, http });
        tokio::spawn(accept(listener, shared, asked));
        Self { stopping, drain: limits.drain }
    }

    /// Takes no further connection or request, and waits until those under way are answered;
    /// false if some were not in time.
    pub async fn drain(&self) -> bool {
        self.stopping.send_replace(true);
        timeout(self.drain, self.stopping.closed()).await.is_ok()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let places = Places::new(&shared.limits);
    let next = async |places: &Places| {
        let free = places.free().await?;
        Some((free, listener.accept().await))
    };
    loop {
        let accepted = tokio::select! {
            accepted = next(&places) => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Some((free, Ok((stream, from)))) => {
                // Without a place of its own the connection is closed here.
                let Some(place) = places.give(free, from.ip()) else { continue };
                tokio::spawn(connection(stream, Arc::clone(&shared), place, stopping.clone()));
            }
            Some((_, Err(error))) if of_the_caller(&error) => {}
            Some((_, Err(error))) => {
                tracing::error!("cannot take a connection: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
            None => return,
        }
    }
}

/// Whether a connection was gone before it was taken.
fn of_the_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Waits for the stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A server that is gone has stopped, too.
    let _gone = stopping.wait_for(|asked| *asked).await.is_err();
}

async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    place: Place,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are written whole; held back for more, they would only be late.
    let _best_effort = stream.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        return talk(stream, place.peer(), &shared, &mut stopping).await;
    };
    let handshake = timeout(shared.limits.handshake, tls.acceptor.accept(stream));
    let stream = tokio::select! {
        done = handshake => done,
        () = stopped(&mut stopping) => return,
    };
    if let Ok(Ok(stream)) = stream {
        talk(stream, place.peer(), &shared, &mut stopping).await;
    }
}

/// Answers the requests of a connection.
async fn talk<S>(
    stream: S,
    peer: Option<Peer>,
    shared: &Shared,
    stopping: &mut watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = shared.limits;
    let asked = Arc::new(AtomicBool::new(false));
    let front = Front { router: shared.router.clone(), limits, peer, asked: Arc::clone(&asked) };
    let io = TokioIo::new(Moving::new(stream, limits.stalled));
    let mut conversation = pin!(shared.http.serve_connection(io, front));
    // What ends a conversation badly is the caller's doing; its requests were answered or not.
    tokio::select! {
        _ended = conversation.as_mut() => return,
        () = stopped(stopping) => {}
    }
    if asked.load(Ordering::Relaxed) {
        conversation.as_mut().graceful_shutdown();
        let _ended = conversation.await;
    }
}

/// The routes behind the guard.
struct Front {
    router: Router,
    limits: Limits,
    peer: Option<Peer>,
    /// Whether anything was asked on this connection.
    asked: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        if let Some(refused) = guard::refused(request.uri(), request.headers()) {
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let mut request = request.map(|body| Body::new(Timed::new(body, self.limits.body)));
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        Box::pin(self.router.clone().oneshot(request))
    }
}
