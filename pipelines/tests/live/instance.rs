//! The real program under test, and the load it gets.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ionflux_schemas::time::UtcMs;
use ionflux_sources::shopify::signature::Secrets;
use ionflux_sources::simulator::{Sent, Simulator};

/// Where the program finds the secret, and the secret.
pub const SECRET_VARIABLE: &str = "IONFLUX_TEST_SECRET";
pub const SECRET: &str = "a secret of the test";
/// The same of a second workspace, `other`.
pub const OTHER_VARIABLE: &str = "IONFLUX_TEST_OTHER_SECRET";
pub const OTHER_SECRET: &str = "a secret of another tenant";
/// 2026-03-01, when the made-up shop opens.
const START: UtcMs = UtcMs(1_772_323_200_000);
/// How often readiness is asked for before it counts as a failure.
const QUESTIONS_MAX: usize = 100_000;

/// Deliveries, each sent until it was acknowledged.
pub struct Load {
    waiting: Mutex<Vec<Sent>>,
    acknowledged: AtomicUsize,
}

impl Load {
    /// A made-up shop's deliveries, some of them broken on the way.
    pub fn new(seed: u64, deliveries: usize) -> Self {
        let mut waiting: Vec<Sent> = Simulator::new(seed, START).take(deliveries).collect();
        for sent in waiting.iter_mut().step_by(97) {
            // Cut off: it becomes a dead letter, and those must survive, too.
            sent.body.truncate(sent.body.len() / 2);
        }
        waiting.reverse();
        Self { waiting: Mutex::new(waiting), acknowledged: AtomicUsize::new(0) }
    }

    /// Deliveries of its own.
    pub fn of(waiting: Vec<Sent>) -> Self {
        Self { waiting: Mutex::new(waiting), acknowledged: AtomicUsize::new(0) }
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn next(&self) -> Option<Sent> {
        self.waiting.lock().unwrap().pop()
    }

    fn again(&self, sent: Sent) {
        self.waiting.lock().unwrap().push(sent);
    }
}

/// A process that was started.
pub struct Starting {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

/// A process that listens.
pub struct Instance {
    child: Mutex<Child>,
    address: String,
    _lines: Lines<BufReader<ChildStderr>>,
}

impl Instance {
    /// Starts the program over a folder of its own.
    pub fn start(folder: &Path, workers: usize) -> Starting {
        Self::start_with(folder, workers, "", "")
    }

    /// The same with further lines in the section `[http]`, and further sections.
    pub fn start_with(folder: &Path, workers: usize, http: &str, sections: &str) -> Starting {
        let config = format!(
            "workers = {workers}\n[http]\nlisten = \"127.0.0.1:0\"\n{http}\
             [shopify.secret_variables]\nacme = [\"{SECRET_VARIABLE}\"]\n\
             other = [\"{OTHER_VARIABLE}\"]\n{sections}"
        );
        Self::configured(folder, &config)
    }

    /// Starts the program with a configuration.
    pub fn configured(folder: &Path, config: &str) -> Starting {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("ionflux.toml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ionflux"))
            .args(["run", "--config"])
            .arg(folder.join("ionflux.toml"))
            .env(SECRET_VARIABLE, SECRET)
            .env(OTHER_VARIABLE, OTHER_SECRET)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Starting { child, lines }
    }

    /// Sends from several callers until `total` deliveries of the load are acknowledged.
    pub fn send_until(&self, load: &Load, callers: usize, total: usize) {
        self.send(load, callers, || load.acknowledged() >= total);
        assert!(load.acknowledged() >= total, "the instance stopped taking deliveries");
    }

    /// Sends from several callers and kills the program when `more` are acknowledged.
    pub fn send_and_kill(self, load: &Load, callers: usize, more: usize) {
        let enough = load.acknowledged() + more;
        self.send(load, callers, || {
            let done = load.acknowledged() >= enough;
            if done {
                // While the other callers wait for their answers.
                self.child.lock().unwrap().kill().unwrap();
            }
            done
        });
        self.end();
    }

    fn send(&self, load: &Load, callers: usize, done: impl Fn() -> bool + Sync) {
        let secrets = Secrets::new([SECRET]);
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    let agent = agent();
                    while !done() {
                        let Some(sent) = load.next() else { return };
                        match self.deliver(&agent, &secrets, &sent) {
                            Some(200) => {
                                load.acknowledged.fetch_add(1, Ordering::SeqCst);
                            }
                            Some(503) => load.again(sent),
                            Some(status) => panic!("a delivery was answered with {status}"),
                            None => {
                                // No answer: it may be kept or not, so it is sent again.
                                load.again(sent);
                                return;
                            }
                        }
                    }
                });
            }
        });
        done();
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Where it listens.
    pub fn socket(&self) -> SocketAddr {
        self.address.trim_start_matches("http://").parse().unwrap()
    }

    /// The signature of a body.
    pub fn sign(&self, body: &str) -> String {
        Secrets::new([SECRET]).sign(body.as_bytes()).unwrap()
    }

    /// Sends a body to a workspace's door; gives the status.
    pub fn post(&self, workspace: &str, signature: Option<&str>, body: &str) -> u16 {
        let address = format!("{}/webhooks/shopify/{workspace}", self.address);
        let mut request = agent().post(address).header("x-shopify-topic", "orders/create");
        if let Some(signature) = signature {
            request = request.header("x-shopify-hmac-sha256", signature);
        }
        request.send(body).unwrap().status().as_u16()
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for a path; gives status and text.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut answer = agent().get(format!("{}{path}", self.address)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    fn deliver(&self, agent: &ureq::Agent, secrets: &Secrets, sent: &Sent) -> Option<u16> {
        let answer = agent
            .post(format!("{}/webhooks/shopify/acme", self.address))
            .header("x-shopify-topic", sent.topic)
            .header("x-shopify-shop-domain", sent.shop)
            .header("x-shopify-triggered-at", sent.triggered_at.to_string())
            .header("x-shopify-hmac-sha256", secrets.sign(sent.body.as_bytes()).unwrap())
            .send(sent.body.as_bytes());
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// Kills the program after a number of questions, answered or not: a wait without a clock.
    pub fn kill_after_requests(self, requests: usize) {
        let agent = agent();
        for _ in 0..requests {
            let _answer = agent.get(format!("{}/readyz", self.address)).call();
        }
        self.end();
    }

    /// Waits until the program says it is ready.
    pub fn ready(&self) {
        let agent = agent();
        let ready = |_| {
            let answer = agent.get(format!("{}/readyz", self.address)).call();
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        assert!((0..QUESTIONS_MAX).any(ready), "never ready");
    }

    /// Waits until every sink says that its target holds everything; gives the least epoch that
    /// one holds.
    pub fn delivered(&self) -> Option<u64> {
        self.deliver_until(|_| true)
    }

    /// The same, once each holds more than an epoch.
    pub fn delivered_after(&self, epoch: Option<u64>) {
        self.deliver_until(|least| least > epoch);
    }

    fn deliver_until(&self, enough: impl Fn(Option<u64>) -> bool) -> Option<u64> {
        let agent = agent();
        let holds = |sink: &serde_json::Value| {
            sink["state"] == "running" && sink["lag_epochs"].as_u64().is_none_or(|lag| lag == 0)
        };
        let mut last = String::new();
        let delivered = |_| {
            let asked = agent.get(format!("{}/v1/views/sinks", self.address)).call();
            last = asked.unwrap().body_mut().read_to_string().unwrap();
            let sinks: serde_json::Value = serde_json::from_str(&last).unwrap();
            let rows = sinks["rows"].as_array().unwrap();
            let least = rows.iter().map(|sink| sink["epoch"].as_u64()).min().flatten();
            (rows.iter().all(holds) && enough(least)).then_some(least)
        };
        let done = (0..QUESTIONS_MAX).find_map(delivered);
        done.unwrap_or_else(|| panic!("never delivered: {last}"))
    }

    /// Asks the program to stop, and waits until it has.
    pub fn terminate(self) {
        let id = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.into_inner().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    fn end(self) {
        let mut child = self.child.into_inner().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Starting {
    /// Waits until the program says where it listens.
    pub fn listening(mut self) -> Instance {
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("://") {
                let address = rest.split_whitespace().next().unwrap();
                let address = format!("http://{address}");
                return Instance { child: Mutex::new(self.child), address, _lines: self.lines };
            }
            said.push(line);
        }
        panic!("the program ended: {}", said.join("\n"));
    }

    /// Waits until the program has ended by itself; gives what it said.
    pub fn said(mut self) -> String {
        let lines: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        assert!(!self.child.wait().unwrap().success());
        lines.join("\n")
    }

    /// Kills the program after it has said so many lines, which is while it opens its state.
    pub fn kill_after_lines(mut self, lines: usize) {
        for line in self.lines.by_ref().take(lines) {
            line.unwrap();
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(20)))
        .build();
    ureq::Agent::new_with_config(config)
}
