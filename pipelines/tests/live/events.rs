//! Platform events through the real program: counted once, also over a restart.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};

const CONFIG: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[platform.tokens.ci]\n\
    workspace = \"acme\"\nsecret = \"IONFLUX_TEST_TOKEN\"\n";
const TOKEN: &str = "0123456789abcdef-of-the-test";
/// How often readiness is asked for before it counts as a failure.
const QUESTIONS_MAX: usize = 100_000;

struct Program {
    child: Child,
    address: String,
    agent: ureq::Agent,
    _said: BufReader<ChildStderr>,
}

fn command(folder: &Path, token: &str) -> Command {
    let path = folder.join("ionflux.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ionflux"));
    command.args(["run", "--config"]).arg(path).env("IONFLUX_TEST_TOKEN", token);
    command
}

impl Program {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder, TOKEN).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(" at http://") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the program ended");
        }
        let (_, rest) = line.split_once(" at http://").unwrap();
        let address = format!("http://{}", rest.split_whitespace().next().unwrap());
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let program = Self { child, address, agent, _said: said };
        assert!((0..QUESTIONS_MAX).any(|_| program.get("/readyz").0 == 200), "never ready");
        program
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut answer = self.agent.get(format!("{}{path}", self.address)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Sends events; gives the status and what became of each.
    fn post(&self, token: &str, events: &Value) -> (u16, Vec<String>) {
        let request = self.agent.post(format!("{}/v1/events", self.address));
        let request = request.header("authorization", format!("Bearer {token}"));
        let mut answer = request.send(events.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        let results = body["results"].as_array().cloned().unwrap_or_default();
        let status = |result: &Value| result["status"].as_str().unwrap().to_owned();
        (answer.status().as_u16(), results.iter().map(status).collect())
    }

    fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn an_event_is_known_after_a_restart_and_an_unknown_type_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let event = |id: &str, kind: &str| {
        json!({"event_id": id, "event_type": kind, "event_timestamp": "2026-03-01T09:30:00Z",
            "payload_json": {"shop_domain": "s", "metric_name": "sessions", "value": 3}})
    };
    let metric = event("m", "ionflux.performance.metric.recorded");
    let activity = event("a", "ionflux.platform.saas_connected");
    let unknown = event("u", "ionflux.nobody.knows.this");
    let events = json!([metric, activity, unknown, {}]);
    let program = Program::start(folder.path());
    assert_eq!(program.post("another token", &events), (401, vec![]));
    let (status, told) = program.post(TOKEN, &events);
    assert_eq!((status, &told[..3]), (207, &["accepted"; 3].map(str::to_owned)[..]));
    assert_eq!(told[3], "refused");
    program.terminate();

    let program = Program::start(folder.path());
    let faults = program.get("/v1/views/faults").1;
    assert!(faults.contains("nobody.knows.this: no view counts it"), "{faults}");
    let (status, told) = program.post(TOKEN, &json!([activity, metric]));
    assert_eq!((status, told), (200, vec!["duplicate".to_owned(); 2]));
    let metrics = program.get("/metrics").1;
    assert!(metrics.contains("ionflux_platform_events_total{status=\"duplicate\"} 2"), "{metrics}");
    program.terminate();
}

#[test]
fn a_token_that_can_be_guessed_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), "short").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("IONFLUX_TEST_TOKEN is too short") && !said.contains("\"short\""));
}
