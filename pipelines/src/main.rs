//! The program `ionflux`: arguments in, exit code out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ionflux::commands::{
    config::Configuration, demo::Demo, faults::Faults, query::Query, reconcile::Reconcile,
    replay::Replay, run::Run, schemas::Schemas, topics::Topics, verify::Verify,
};
use tracing_subscriber::EnvFilter;

/// Exact, live, correctable views of what shops earn
#[derive(Parser, Debug)]
#[command(name = "ionflux", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Start here:
  ionflux demo                          a simulated shop, live, at http://127.0.0.1:8080
  ionflux replay FILE --format FORMAT   your own history: ionflux replay --help

Exit codes: 0 good, 1 failed, 2 bad usage or bad configuration.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(Demo),
    Run(Run),
    Replay(Box<Replay>),
    Query(Query),
    Verify(Verify),
    Reconcile(Reconcile),
    Faults(Faults),
    Config(Configuration),
    Topics(Topics),
    Schemas(Schemas),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("IONFLUX_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Cli::parse().command {
        Command::Demo(demo) => demo.execute(),
        Command::Run(run) => run.execute(),
        Command::Replay(replay) => replay.execute(),
        Command::Query(query) => query.execute(),
        Command::Verify(verify) => verify.execute(),
        Command::Reconcile(reconcile) => reconcile.execute(),
        Command::Faults(faults) => faults.execute(),
        Command::Config(config) => config.execute(),
        Command::Topics(topics) => topics.execute(),
        Command::Schemas(schemas) => schemas.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.problem);
            if !failure.hint.is_empty() {
                eprintln!("hint: {}", failure.hint);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
