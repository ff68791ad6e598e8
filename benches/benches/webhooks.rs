//! Verified webhooks over loopback: 64 connections, each waiting for its answer, into the whole
//! live instance; beside the same server and body answered without a signature or a journal.
//!
//! Invariant: both run in the same process, in turn; every order that was acknowledged is counted,
//! and the run fails if one is not.
//!
//! `cargo bench -p ionflux-benches --bench webhooks -- [SECONDS] [ROUNDS] [CONNECTIONS] [FOLDER]`

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use ionflux::serve::{Served, Service};
use ionflux_benches::instance::Instance;
use ionflux_benches::load::{self, Ran, SECRET, Template};
use ionflux_sources::doors::Doors;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::shopify::door;
use ionflux_sources::shopify::signature::Secrets;

type Failure = Box<dyn std::error::Error>;

const DOOR: &str = "/webhooks/shopify/acme";
const BARE: &str = "/bare";
/// How long the views may be behind at the end.
const CATCH_UP_MAX: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn main() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| given.next().map_or(Ok(default), |text| text.parse());
    let (seconds, rounds, connections) = (number(10)?, number(3)?, number(64)?);
    let home = given.next().map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&home)?;
    let folder = tempfile::tempdir_in(&home)?;
    let bench = Bench::start(folder.path())?;
    let time = Duration::from_secs(seconds as u64);
    println!("{connections} connections, {seconds} s each, in turn");
    println!("               answers/s   p50 ms   p99 ms   max ms   ratio");
    let (orders, unread) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut acknowledged = 0;
    for _ in 0..rounds {
        let run = |path, orders| {
            load::run(bench.service.address, &Template::new(path), (connections, time), orders)
        };
        let bare = run(BARE, &unread)?;
        let verified = run(DOOR, &orders)?;
        print("bare", &bare, &bare);
        print("acknowledged", &verified, &bare);
        acknowledged += verified.waits.len() as u64;
    }
    let behind = bench.caught_up(acknowledged)?;
    println!("{acknowledged} acknowledged = counted, {behind:.1} s after the last answer");
    bench.end()
}

fn print(what: &str, ran: &Ran, bare: &Ran) {
    println!(
        "{what:<14} {:>9.0}  {:>7.2}  {:>7.2}  {:>7.2}  {:>6.3}",
        ran.rate(),
        ran.wait_ms(0.5),
        ran.wait_ms(0.99),
        ran.wait_ms(1.0),
        ran.rate() / bare.rate()
    );
}

/// The whole program but for its command line.
struct Bench {
    service: Service,
    instance: Instance,
}

impl Bench {
    fn start(folder: &Path) -> Result<Self, Failure> {
        let instance = Instance::start(folder, Vec::new())?;
        let privacy = Privacy::Minimised(Arc::clone(&instance.subjects));
        let intake = Intake::new(instance.inbox.clone(), privacy);
        let doors = Doors::new(intake, Arc::clone(&instance.clock), &instance.registry)?;
        let secrets = BTreeMap::from([("acme".to_owned(), Secrets::new([SECRET]))]);
        let bare = post(|_body: Bytes| async { StatusCode::OK });
        let doors = door::router(doors, secrets).route(BARE, bare);
        let (store, shops) = (Arc::clone(&instance.store), Arc::clone(&instance.shops));
        let served = Served { doors, ..Served::plain(store, shops) };
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let service = Service::start(anywhere, served).map_err(|failure| failure.problem)?;
        Ok(Self { service, instance })
    }

    /// Waits until the views count so many orders; gives how many seconds that took.
    fn caught_up(&self, orders: u64) -> Result<f64, Failure> {
        let begun = Instant::now();
        loop {
            let counted = self.counted()?;
            if counted == orders {
                return Ok(begun.elapsed().as_secs_f64());
            }
            if counted > orders || begun.elapsed() > CATCH_UP_MAX {
                return Err(format!("{orders} orders acknowledged, {counted} counted").into());
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// How many orders the views count, as a client would ask.
    fn counted(&self) -> Result<u64, Failure> {
        let sql = "SELECT coalesce(sum(orders), 0) AS n FROM revenue_by_day";
        let mut stream = TcpStream::connect(self.service.address)?;
        write!(
            stream,
            "POST /v1/sql HTTP/1.1\r\nhost: bench\r\naccept: text/csv\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{sql}",
            sql.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let number = answer.trim_end().lines().next_back().unwrap_or_default();
        number.trim().parse().map_err(|_| format!("no number of orders in {answer}").into())
    }

    fn end(self) -> Result<(), Failure> {
        self.service.drain();
        self.instance.end()
    }
}
