//! Slow callers, crowds and a stop: the server alone, with short limits, on a real socket.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use ionflux::http::tls::Tls;
use ionflux::http::{Limits, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::socket::{Request, ask, connect, rest, statuses};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

/// Limits of which none is reached.
pub fn patient() -> Limits {
    Limits {
        connections: 64,
        of_one_address: 64,
        handshake: LONG,
        head: LONG,
        body: LONG,
        stalled: LONG,
        drain: LONG,
    }
}

/// A server that runs as long as this is held.
pub struct Served {
    pub runtime: Runtime,
    pub server: Server,
    pub address: SocketAddr,
    /// Wakes those who wait at `/wait`.
    pub wake: Arc<Notify>,
    /// Wakes when somebody waits there.
    pub waiting: Arc<Notify>,
}

/// Serves some routes within limits.
pub fn serve(limits: Limits, tls: Option<Tls>) -> Served {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (woken, waits) = (Arc::clone(&wake), Arc::clone(&waiting));
    let wait = move || {
        let (woken, waits) = (Arc::clone(&woken), Arc::clone(&waits));
        async move {
            waits.notify_one();
            woken.notified().await;
            "woken"
        }
    };
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/large", get(|| async { vec![b'x'; 64 << 20] }))
        .route("/wait", get(wait));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = {
        let _within = runtime.enter();
        Server::start(listener, router, tls, limits)
    };
    Served { runtime, server, address, wake, waiting }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let served = serve(Limits { head: SHORT, ..patient() }, None);
    for begun in ["", "GET", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        assert_eq!(ask(served.address, &Request::raw(begun)), "", "{begun:?}");
    }
    // A byte now and then wins no time.
    let mut stream = connect(served.address);
    let mut sending = stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while sending.write_all(b"a").is_ok() {
            std::thread::park_timeout(SHORT / 10);
        }
    });
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").unwrap();
    assert_eq!(rest(&mut stream), "");
    trickle.join().unwrap();
    // Nor does an answer that came before.
    let text = ask(served.address, &Request::raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert_eq!(statuses(&text), [200], "{text}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let served = serve(Limits { body: SHORT, ..patient() }, None);
    let half = Request::new("POST /echo", &[("content-length", "10")], b"half");
    let text = ask(served.address, &half);
    assert_eq!(statuses(&text), [400], "{text}");
    let open = Request::headed("POST /echo", &[("transfer-encoding", "chunked")]).and("1\r\nx\r\n");
    let text = ask(served.address, &open);
    assert_eq!(statuses(&text), [400], "{text}");
}

#[test]
fn who_does_not_read_loses_the_place_to_the_next() {
    let served = serve(Limits { connections: 1, stalled: SHORT, ..patient() }, None);
    let mut stalled = connect(served.address);
    stalled.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    stalled.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let text = ask(served.address, &Request::new("GET /", &[], b""));
    assert!(text.ends_with("here"), "{text}");
    assert!(rest(&mut stalled).len() < 64 << 20, "all of it came");
}

#[test]
fn one_place_serves_everybody_in_turn() {
    let served = serve(Limits { connections: 1, ..patient() }, None);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let text = ask(served.address, &Request::new("GET /", &[], b""));
                assert!(text.ends_with("here"), "{text}");
            });
        }
    });
}

#[test]
fn a_refusal_reaches_whoever_still_sends() {
    let served = serve(patient(), None);
    let length = (100 << 20).to_string();
    let large = Request::headed("POST /echo", &[("content-length", &length)]);
    let text = ask(served.address, &large.then(vec![b'x'; 1 << 20], 100));
    assert_eq!(statuses(&text), [413], "{text}");
    let long = Request::raw("GET / HTTP/1.1\r\nx: ").then(vec![b'x'; 1 << 20], 4);
    assert_eq!(statuses(&ask(served.address, &long)), [431]);
}

#[test]
fn a_stop_answers_what_is_under_way_and_takes_nothing_more() {
    let served = serve(patient(), None);
    let (mut silent, mut idle, mut begun) =
        (connect(served.address), connect(served.address), connect(served.address));
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).unwrap();
    begun.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    served.runtime.block_on(served.waiting.notified());
    let drained = served.runtime.block_on(async {
        let drain = served.server.drain();
        let others = tokio::task::spawn_blocking(move || {
            // Both end while the request is still under way.
            (rest(&mut silent), rest(&mut idle))
        });
        let wake = async {
            let (silent, idle) = others.await.unwrap();
            assert!(silent.is_empty() && idle.ends_with("here"), "{silent:?} {idle:?}");
            served.wake.notify_one();
        };
        tokio::join!(drain, wake).0
    });
    assert!(drained, "somebody was not answered");
    let text = rest(&mut begun);
    assert!(text.contains("connection: close") && text.ends_with("woken"), "{text}");
    assert!(std::net::TcpStream::connect(served.address).is_err(), "still listening");
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let served = serve(Limits { drain: SHORT, ..patient() }, None);
    let mut begun = connect(served.address);
    begun.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    served.runtime.block_on(served.waiting.notified());
    assert!(!served.runtime.block_on(served.server.drain()));
}
