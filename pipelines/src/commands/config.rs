//! `ionflux config`: the configuration of an instance checked and shown, and that of a workspace
//! brought in.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use ionflux_sources::settings::import::{self, Batch, FILE_BYTES_MAX};
use ionflux_sources::settings::problem::Problem;
use serde_json::Value;

use crate::config::Config;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// Every option at its default.
const REFERENCE: &str = include_str!("../../../config/reference.toml");
/// How long an instance may take to answer one request.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The configuration file: check one, show every option; or bring in the settings of a workspace
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ionflux config check ionflux.toml
  ionflux config reference > ionflux.toml
  ionflux config import agents.yaml --url http://127.0.0.1:8080 --token-variable MY_TOKEN")]
pub struct Configuration {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with configuration.
#[derive(Subcommand, Debug)]
pub enum Action {
    /// Read and check a configuration file; exit code 2 says that something is wrong with it
    Check(Check),
    /// Print every option at its default, with what it is for
    Reference,
    /// Set what a YAML file says of agents and of other settings, in a running instance
    Import(Import),
}

/// The arguments of `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Definitions and configurations of agents, or documents that say their kind: `kind: badges`
///
/// Everything is checked before anything is sent, and each kind is set whole or not at all, in the
/// order in which one needs another. What is wrong is named with its line and field.
#[derive(Args, Debug)]
pub struct Import {
    /// The YAML file; several documents may follow one another
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The instance
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The environment variable that holds the token of the workspace
    #[arg(long, value_name = "NAME", default_value = "IONFLUX_TOKEN")]
    pub token_variable: String,
}

impl Configuration {
    /// Does what was asked.
    ///
    /// # Errors
    /// When something is wrong with the file, or the instance does not take it.
    pub fn execute(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Check(check) => {
                Config::read(&check.file)?;
                super::print(b"good\n")
            }
            Action::Reference => super::print(REFERENCE.as_bytes()),
            Action::Import(import) => import.execute(),
        }
    }
}

impl Import {
    fn execute(&self) -> Result<(), Failure> {
        let text = text(&self.file)?;
        let batches = import::read(&text).map_err(|told| {
            let hint = "correct it and import it again; nothing was set";
            wrong(&self.file, &told, hint)
        })?;
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            let problem = format!("--url {} is not the address of an instance", self.url);
            return Err(Failure::usage(problem, "give one such as http://127.0.0.1:8080"));
        }
        let token = Secrets::read(None)?.get(&self.token_variable, "the token of the workspace")?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        for batch in &batches {
            let said = self.send(&agent, token.trim(), batch)?;
            super::print(said.as_bytes())?;
        }
        Ok(())
    }

    /// Sets the documents of one kind; gives what to say of it.
    fn send(&self, agent: &ureq::Agent, token: &str, batch: &Batch) -> Result<String, Failure> {
        let kind = batch.kind.name;
        let url = format!("{}/v1/config/{kind}", self.url.trim_end_matches('/'));
        let failed = |cause: ureq::Error| {
            Failure::world(format!("{url}: {cause}"), "is ionflux running there?")
        };
        let body = Value::from(batch.documents.clone()).to_string();
        let mut response = agent
            .put(&url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .send(body.as_bytes())
            .map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let answer: Value = serde_json::from_slice(&body.map_err(failed)?).unwrap_or_default();
        match status {
            200 => Ok(format!("{kind}: {} set\n", batch.documents.len())),
            202 => Ok(format!("{kind}: {} set, and soon counted\n", batch.documents.len())),
            401 => {
                let hint = format!("does {} hold a token of that instance?", self.token_variable);
                Err(Failure::usage(format!("{url} does not know the token"), hint))
            }
            422 => {
                let hint = format!("correct it and import it again; nothing of {kind} was set");
                Err(wrong(&self.file, &placed(batch, &answer), &hint))
            }
            status => {
                let detail = answer.get("detail").and_then(Value::as_str).unwrap_or_default();
                let problem = format!("{url} answered {status}: {detail}");
                Err(Failure::world(problem, "nothing of this kind was set; try again"))
            }
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {cause}", path.display()), "give a YAML file of documents")
    };
    let found = std::fs::metadata(path).map_err(|cause| failed(&cause))?;
    if found.len() > FILE_BYTES_MAX as u64 {
        return Err(failed(&format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|cause| failed(&cause))
}

/// What the instance says is wrong, at the lines of the file.
fn placed(batch: &Batch, answer: &Value) -> Vec<String> {
    let told = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let problem = |told: &Value| {
        let text = |name: &str| told.get(name)?.as_str().map(str::to_owned);
        let item = usize::try_from(told.get("item")?.as_u64()?).ok()?;
        let (field, reason) = (text("field")?, text("reason")?);
        Some(batch.placed(Problem { item, line: None, field, reason }).to_string())
    };
    told.filter_map(problem).collect()
}

fn wrong(path: &Path, told: &[String], hint: &str) -> Failure {
    let mut problem = format!("{} was not taken:", path.display());
    for line in told {
        // Writing to a string cannot fail.
        let _ = write!(problem, "\n  {line}");
    }
    Failure::usage(problem, hint)
}
