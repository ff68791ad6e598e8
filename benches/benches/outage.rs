//! A target that is away: what waits for it in memory, and how soon it has everything again.
//!
//! Two processes count the same deliveries: one without sinks, and one whose database is behind a
//! gate that closes for as many events as the outage would bring. Then the gate opens while events
//! go on at their rate.
//!
//! `IONFLUX_POSTGRES=... cargo bench -p ionflux-benches --bench outage -- [SECONDS] [EVENTS_PER_S]`

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ionflux_benches::instance::Instance;
use ionflux_operators::list;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::time::UtcMs;
use ionflux_schemas::view::Value;
use ionflux_sinks::sink::Sink;
use ionflux_sinks::timescale::{self, TimescaleConfig};
use ionflux_sources::simulator::Simulator;

type Failure = Box<dyn std::error::Error>;

const SHOPS: u64 = 50;
/// Deliveries before the outage.
const BEFORE: usize = 50_000;
const CALLERS: usize = 16;
const SEED: u64 = 20_261_121;
const START: UtcMs = UtcMs(1_772_323_200_000);
/// Says to a process of this bench what it is.
const PART: &str = "IONFLUX_BENCH_PART";

fn main() -> Result<(), Failure> {
    let numbers = std::env::args().skip(1).filter(|a| a != "--bench");
    let numbers = numbers.map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let (seconds, rate) = match numbers[..] {
        [] => (600, 2_000),
        [seconds] => (seconds, 2_000),
        [seconds, rate, ..] => (seconds, rate),
    };
    match std::env::var(PART).as_deref() {
        Ok("alone") => alone(seconds * rate),
        Ok("away") => away(seconds * rate, rate),
        _ => {
            println!("an outage of {seconds} s at {rate} events/s, {SHOPS} shops");
            for part in ["alone", "away"] {
                let mut command = Command::new(std::env::current_exe()?);
                command.env(PART, part).args([seconds.to_string(), rate.to_string()]);
                if !command.status()?.success() {
                    return Err(format!("the part {part} failed").into());
                }
            }
            Ok(())
        }
    }
}

/// The same deliveries without any sink.
fn alone(events: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let instance = Instance::start(folder.path(), Vec::new())?;
    let mut fleet = Fleet::new();
    send(&instance, &mut fleet, BEFORE, None)?;
    let before = resident_mib()?;
    send(&instance, &mut fleet, events, None)?;
    println!("without sinks   before {before:>5} MiB   after {:>5} MiB", resident_mib()?);
    instance.end()
}

fn away(events: usize, rate: usize) -> Result<(), Failure> {
    let server = std::env::var("IONFLUX_POSTGRES").map_err(|_| "IONFLUX_POSTGRES is unset")?;
    let (front, rest) = server.rsplit_once('@').ok_or("IONFLUX_POSTGRES names no user")?;
    let (host, database) = rest.split_once('/').ok_or("IONFLUX_POSTGRES names no database")?;
    let gate = Gate::open(host.parse()?)?;
    let address = format!("{front}@{}/{database}", gate.address);
    let config = TimescaleConfig::default();
    let sink: Box<dyn Sink> = timescale::build("timescale", &config, &address, &list::views())?;
    let folder = tempfile::tempdir()?;
    let instance = Instance::start(folder.path(), vec![sink])?;
    let mut fleet = Fleet::new();
    send(&instance, &mut fleet, BEFORE, None)?;
    caught_up(&instance);
    let before = resident_mib()?;
    gate.close();
    send(&instance, &mut fleet, events, None)?;
    let (after, behind) = (resident_mib()?, behind(&instance));
    println!(
        "target away     before {before:>5} MiB   after {after:>5} MiB   {behind} epochs owed"
    );
    let rows: usize = list::views().iter().map(|view| rows(&instance, view.name)).sum();
    println!("rows of all views at the end: {rows}");
    gate.set(true);
    let begun = Instant::now();
    // Events go on while the target catches up.
    let ended = AtomicBool::new(false);
    let caught = thread::scope(|scope| {
        let going_on = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                send(&instance, &mut fleet, rate, Some(rate)).map_err(|e| e.to_string())?;
            }
            Ok::<_, String>(())
        });
        caught_up(&instance);
        let caught = begun.elapsed();
        ended.store(true, Ordering::SeqCst);
        going_on.join().map_err(|_| "a caller panicked".to_owned())?.map(|()| caught)
    })?;
    println!("caught up {:.1} s after the target was back", caught.as_secs_f64());
    instance.end()
}

/// Shops that each live their own life.
struct Fleet {
    shops: Vec<Simulator>,
    next: usize,
    ends: usize,
}

impl Fleet {
    fn new() -> Self {
        let shops = (0..SHOPS).map(|nth| Simulator::new(SEED + nth, START)).collect();
        Self { shops, next: 0, ends: 0 }
    }

    fn take(&mut self) -> Option<Delivery> {
        let nth = self.next % self.shops.len();
        self.next += 1;
        Some(self.shops[nth].next()?.delivery(&format!("shop-{nth}")))
    }
}

/// Sends so many deliveries, as fast as it goes or at a rate, and waits until they are counted.
fn send(
    instance: &Instance,
    fleet: &mut Fleet,
    count: usize,
    rate: Option<usize>,
) -> Result<(), Failure> {
    let (fleet_of, started) = (Mutex::new(&mut *fleet), Instant::now());
    let sent = Mutex::new(0);
    thread::scope(|scope| {
        let call = || {
            loop {
                let (nth, delivery) = {
                    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                    if *sent == count {
                        return Ok(());
                    }
                    *sent += 1;
                    let mut fleet = fleet_of.lock().unwrap_or_else(PoisonError::into_inner);
                    (*sent, fleet.take())
                };
                let Some(mut delivery) = delivery else { return Ok(()) };
                let due = rate.map(|rate| Duration::from_secs_f64(nth as f64 / rate as f64));
                let early = due.and_then(|due| due.checked_sub(started.elapsed()));
                if let Some(early) = early {
                    thread::park_timeout(early);
                }
                delivery.received_at = instance.clock.now();
                instance.inbox.deliver_blocking(delivery).map_err(|error| error.to_string())?;
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().try_for_each(|caller| {
            caller.join().map_err(|_| "a caller panicked".to_owned()).and_then(|done| done)
        })
    })?;
    counted(instance, fleet)
}

/// Waits until everything sent is counted: one more order, of a workspace that nobody has.
fn counted(instance: &Instance, fleet: &mut Fleet) -> Result<(), Failure> {
    fleet.ends += 1;
    let workspace = format!("end-{}", fleet.ends);
    let last = Simulator::new(SEED, START).next().ok_or("no delivery")?;
    let mut last = last.delivery(&workspace);
    last.received_at = instance.clock.now();
    instance.inbox.deliver_blocking(last)?;
    let shown = || {
        let rows = instance.store.newest().sorted_rows("revenue_by_day").unwrap_or_default();
        rows.iter().any(|row| matches!(&row.0[0], Value::Text(text) if **text == *workspace))
    };
    while !shown() {
        thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

fn behind(instance: &Instance) -> u64 {
    let sinks = instance.board.sinks();
    let of = |sink: &ionflux_schemas::health::Standing| {
        sink.offered.map_or(0, |epoch| epoch.0) - sink.epoch.map_or(0, |epoch| epoch.0)
    };
    sinks.iter().map(of).sum()
}

/// Waits until the target has what was handed over a moment ago.
fn caught_up(instance: &Instance) {
    let due = instance.board.sinks().iter().filter_map(|sink| sink.offered).max();
    while instance.board.sinks().iter().any(|sink| sink.epoch < due) {
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn rows(instance: &Instance, view: &str) -> usize {
    let mut rows = 0;
    instance.store.newest().for_each_key(view, |_, _| rows += 1);
    rows
}

fn resident_mib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    Ok(kib.ok_or("no VmRSS")? / 1024)
}

/// A way to a server that can be closed.
struct Gate {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    fn open(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (open, lines) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let (is_open, held) = (Arc::clone(&open), Arc::clone(&lines));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_open.load(Ordering::SeqCst) {
                    // A line that does not come about is one that is cut.
                    let _cut = join(&client, server, &held);
                }
            }
        });
        Ok(Self { address, open, lines })
    }

    fn set(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    fn close(&self) {
        self.set(false);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.drain(..) {
            let _gone = line.shutdown(Shutdown::Both);
        }
    }
}

fn join(client: &TcpStream, server: SocketAddr, held: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    held.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone()?);
    for (from, to) in [(client, &server), (&server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ended = io::copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
