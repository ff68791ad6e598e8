//! Settings over the sockets: a file imported, what holds read back, and still there after a
//! restart.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::instance::{Instance, SECRET, SECRET_VARIABLE};

/// One secret is the app's and the token's: the process is given no other.
fn sections() -> String {
    format!("[platform.tokens.ci]\nworkspace = \"acme\"\nsecret = \"{SECRET_VARIABLE}\"\n")
}

fn import(folder: &Path, instance: &Instance, text: &str) -> (i32, String) {
    fs::write(folder.join("settings.yaml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["config", "import", "settings.yaml", "--token-variable", SECRET_VARIABLE])
        .args(["--url", instance.address()])
        .current_dir(folder)
        .env(SECRET_VARIABLE, SECRET)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// What holds of a kind.
fn held(instance: &Instance, kind: &str) -> Vec<Value> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let url = format!("{}/v1/config/{kind}", instance.address());
    let token = format!("Bearer {SECRET}");
    let asked = ureq::Agent::new_with_config(config).get(url).header("authorization", token);
    let text = asked.call().unwrap().body_mut().read_to_string().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["settings"].as_array().unwrap().clone()
}

const FILE: &str = "\
id: tracker
name: Tracker
version: 0.2
inputs:
  period: {type: string, required: true}
---
name: Mine
agent_definition_id: tracker
inputs: {period: last_7_days}
---
- {kind: product-costs, sku: A, cost: '12.50', currency: EUR, valid_from: 2026-01-01T00:00:00Z}
- {kind: product-costs, sku: B, cost: '3'}
";

#[test]
fn what_is_imported_holds_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance::start_with(folder.path(), 1, "", &sections()).listening();
    instance.ready();
    let (code, said) = import(folder.path(), &instance, FILE);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let set = ["product-costs: 2 set", "agent-definitions: 1 set", "agent-configurations: 1 set"];
    assert_eq!(lines, set);
    assert_eq!(held(&instance, "agent-definitions")[0]["document"]["version"], "0.2.0");
    let costs = held(&instance, "product-costs");
    assert_eq!((costs.len(), &costs[0]["name"]), (2, &Value::from("sku:A")));

    let wrong = FILE.replace("{period: last_7_days}", "{colour: red}");
    let (code, said) = import(folder.path(), &instance, &wrong);
    assert_eq!(code, 2, "{said}");
    for told in ["line 9: inputs.colour: is no input", "inputs.period: is missing"] {
        assert!(said.contains(told), "no {told:?} in {said}");
    }
    instance.terminate();

    let again = Instance::start_with(folder.path(), 1, "", &sections()).listening();
    again.ready();
    assert_eq!(
        held(&again, "agent-configurations")[0]["document"]["inputs"]["period"],
        "last_7_days"
    );
    assert_eq!(held(&again, "product-costs").len(), 2);
    let none = again.get("/v1/config/product-costs");
    assert_eq!(none.0, 401, "{}", none.1);
    again.terminate();
}
