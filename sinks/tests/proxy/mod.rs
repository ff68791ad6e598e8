//! A TCP proxy on loopback that breaks connections on demand.
//!
//! Invariant: bytes arrive in order and, but for a server's own address, unchanged or not at all;
//! every connection ends by itself when either side does.

#![allow(dead_code, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};

/// A proxy in front of one server; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    cuts: watch::Sender<u64>,
    listening: JoinHandle<()>,
}

/// What is to happen.
#[derive(Default)]
struct Script {
    /// So many times, what a client sends does not arrive and its connection ends.
    refusals: u32,
    /// So many times, it does before that.
    spared: u32,
    /// When a client sends this, it arrives, and the connection ends before the answer.
    lost_after: Option<Vec<u8>>,
    /// So many times, what is sent arrives in two pieces.
    slow: u32,
}

impl Proxy {
    /// A proxy in front of a server.
    pub async fn start(server: SocketAddr) -> Self {
        Self::begin(server, false).await
    }

    /// A proxy in front of a server that tells its own address, which becomes the proxy's: as the
    /// text of its host and a port of 32 bits.
    pub async fn disguising(server: SocketAddr) -> Self {
        Self::begin(server, true).await
    }

    async fn begin(server: SocketAddr, disguising: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let (cuts, cut) = watch::channel(0);
        let shared = Arc::clone(&script);
        let told = |address: SocketAddr| {
            [address.ip().to_string().as_bytes(), &u32::from(address.port()).to_be_bytes()].concat()
        };
        let disguise = Arc::new(disguising.then(|| (told(server), told(address))));
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rules = (Arc::clone(&shared), Arc::clone(&disguise));
                tokio::spawn(carry(client, server, rules, cut.clone()));
            }
        });
        Self { address, script, cuts, listening }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections; gives how many there were.
    pub fn cut(&self) -> usize {
        self.cuts.send_modify(|cuts| *cuts += 1);
        // Whoever listens for connections waits for none to be cut.
        self.cuts.receiver_count().saturating_sub(1)
    }

    /// The next so many things that a client says are lost, with its connection.
    pub fn refuse(&self, times: u32) {
        self.lock().refusals = times;
    }

    /// The same once, after so many things that arrive.
    pub fn refuse_after(&self, spared: u32) {
        let mut script = self.lock();
        (script.spared, script.refusals) = (spared, 1);
    }

    /// After so many things that arrive, nothing does any more: the client is dead to the server.
    pub fn die_after(&self, spared: u32) {
        let mut script = self.lock();
        (script.spared, script.refusals) = (spared, u32::MAX);
    }

    /// Waits until that happens.
    pub async fn dead(&self) {
        while self.lock().refusals == u32::MAX {
            yield_now().await;
        }
    }

    /// The next message with these bytes arrives, and its answer is lost with the connection.
    pub fn lose_answer(&self, to: &[u8]) {
        self.lock().lost_after = Some(to.to_vec());
    }

    /// The next so many messages, in either direction, arrive in pieces.
    pub fn slow(&self, times: u32) {
        self.lock().slow = times;
    }

    /// Whether what was ordered has happened.
    pub fn done(&self) -> bool {
        let script = self.lock();
        script.refusals == 0 && script.lost_after.is_none()
    }

    /// Forgets what was ordered.
    pub fn calm(&self) {
        *self.lock() = Script::default();
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// What a server tells of itself, and what is told instead.
type Disguise = Option<(Vec<u8>, Vec<u8>)>;

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    (script, disguise): (Arc<Mutex<Script>>, Arc<Disguise>),
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut said, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    // Once the answer is to be lost, the server's next words end the connection.
    let mut losing = false;
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            read = client.read(&mut said) => {
                let Ok(1..) = read else { return };
                let bytes = &said[..read.unwrap_or(0)];
                let goes_on = arrives(&script, bytes, &mut losing);
                if !goes_on || !send(&mut server, bytes, &script).await {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(1..) = read else { return };
                let bytes = &mut answered[..read.unwrap_or(0)];
                if let Some((told, instead)) = &*disguise {
                    disguised(bytes, told, instead);
                }
                if losing || !send(&mut client, bytes, &script).await {
                    return;
                }
            }
        }
    }
}

/// Puts as many other bytes in the place of some.
fn disguised(bytes: &mut [u8], told: &[u8], instead: &[u8]) {
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(told) {
            bytes[at..at + told.len()].copy_from_slice(instead);
        }
    }
}

fn arrives(script: &Mutex<Script>, bytes: &[u8], losing: &mut bool) -> bool {
    let mut script = script.lock().unwrap();
    if script.refusals > 0 && script.spared > 0 {
        script.spared -= 1;
    } else if script.refusals > 0 {
        script.refusals -= 1;
        return false;
    }
    let found = |sought: &Vec<u8>| bytes.windows(sought.len()).any(|window| window == sought);
    if script.lost_after.as_ref().is_some_and(found) {
        script.lost_after = None;
        *losing = true;
    }
    true
}

async fn send(to: &mut TcpStream, bytes: &[u8], script: &Mutex<Script>) -> bool {
    let slow = {
        let mut script = script.lock().unwrap();
        let slow = script.slow > 0;
        script.slow = script.slow.saturating_sub(1);
        slow
    };
    let (first, rest) = bytes.split_at(if slow { bytes.len() / 2 } else { 0 });
    if slow && to.write_all(first).await.is_ok() {
        yield_now().await;
    }
    to.write_all(rest).await.is_ok()
}
