//! A way to a server that can be closed, as an outage closes it.
//!
//! Invariant: while it is closed, no connection stands and every new one ends at once.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A gate on loopback before one server; it goes with the process.
pub struct Gate {
    /// Where clients connect.
    pub address: SocketAddr,
    lines: Arc<Mutex<Lines>>,
}

/// The connections through the gate, and whether more may come.
struct Lines {
    open: bool,
    standing: Vec<TcpStream>,
}

impl Gate {
    /// An open gate.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let lines = Arc::new(Mutex::new(Lines { open: true, standing: Vec::new() }));
        let shared = Arc::clone(&lines);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A line that does not come about is one that is cut.
                let _cut = join(&client, server, &shared);
            }
        });
        Ok(Self { address, lines })
    }

    /// Lets connections through, or cuts them all.
    pub fn set(&self, open: bool) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.open = open;
        if !open {
            for line in lines.standing.drain(..) {
                let _gone = line.shutdown(Shutdown::Both);
            }
        }
    }
}

fn join(client: &TcpStream, server: SocketAddr, lines: &Mutex<Lines>) -> io::Result<()> {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if !lines.open {
        return Ok(());
    }
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for (from, to) in [(client, &server), (&server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ended = io::copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Both);
        });
    }
    lines.standing.push(client.try_clone()?);
    Ok(())
}
