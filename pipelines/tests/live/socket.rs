//! Requests as bytes, well-formed or not, and what is answered to them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a test counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request, and how often its last part is sent.
pub struct Request {
    head: Vec<u8>,
    part: Vec<u8>,
    times: usize,
}

impl Request {
    /// The bytes of a request.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { head: bytes.into(), part: Vec::new(), times: 0 }
    }

    /// A request with headers and a body, after whose answer the connection ends.
    pub fn new(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            headers.push(("content-length", &length));
        }
        Self::headed(line, &headers).and(body)
    }

    /// A request line and headers, and nothing behind them.
    pub fn headed(line: &str, headers: &[(&str, &str)]) -> Self {
        let mut head = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self::raw(head + "\r\n")
    }

    /// Further bytes.
    pub fn and(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(bytes.as_ref());
        self
    }

    /// Further bytes, many times over.
    pub fn then(self, part: impl Into<Vec<u8>>, times: usize) -> Self {
        Self { part: part.into(), times, ..self }
    }
}

/// A connection that gives up some time.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes until the connection is closed or reset.
pub fn rest(stream: &mut impl Read) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!late, "the connection is still open after {PATIENCE:?}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The statuses of the answers in some text.
pub fn statuses(text: &str) -> Vec<u16> {
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].parse().unwrap()).collect()
}

/// Sends a request, listening meanwhile; gives what came until the connection was closed.
pub fn ask(address: SocketAddr, request: &Request) -> String {
    let mut stream = connect(address);
    let mut sending = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may be refused, and the connection closed, long before everything is sent.
            let mut sent = sending.write_all(&request.head);
            for _ in 0..request.times {
                sent = sent.and_then(|()| sending.write_all(&request.part));
            }
        });
        let text = rest(&mut stream);
        let _gone = stream.shutdown(Shutdown::Both);
        text
    })
}
