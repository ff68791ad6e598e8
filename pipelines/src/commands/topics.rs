//! `ionflux topics`: the topics of a cluster as a file says they should be.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Show or make the topics that a catalogue names
///
/// Nothing ever gets fewer partitions; topics that the catalogue does not name are left alone but
/// for those that --delete names.
#[derive(Args, Debug)]
pub struct Topics {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print what is to do: + made, ~ changed, - deleted, ! not possible, ? not in the catalogue
    Plan(What),
    /// Do it; done again it does nothing
    Apply(What),
}

#[derive(Args, Debug)]
struct What {
    /// The configuration, whose section [kafka] names the cluster and the workspaces
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The catalogue; without it the one that is built in, config/topics.toml
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Delete this topic, with all it holds: one called ionflux.* that the catalogue does not name;
    /// may be given several times
    #[arg(long, value_name = "TOPIC")]
    delete: Vec<String>,
}

impl Topics {
    /// Plans, and does it if asked.
    ///
    /// # Errors
    /// When the configuration or the catalogue is wrong, or the cluster refuses.
    pub fn execute(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Plan(what) => what.execute(false),
            Action::Apply(what) => what.execute(true),
        }
    }
}

#[cfg(feature = "kafka")]
impl What {
    fn execute(&self, apply: bool) -> Result<(), Failure> {
        use ionflux_sources::kafka::catalog::{self, Step, plan};
        use ionflux_sources::kafka::provision::Admin;

        use super::print;
        use crate::config::Config;
        use crate::secrets::Secrets;

        let config = Config::read(&self.config)?;
        let secrets = Secrets::of(&config, &self.config)?;
        let Some(kafka) = &config.kafka else {
            let problem = format!("{}: there is no section [kafka]", self.config.display());
            return Err(Failure::usage(problem, "it names the cluster: brokers = \"host:port\""));
        };
        let (name, text) = match &self.file {
            None => ("config/topics.toml".into(), catalog::DEFAULT.to_owned()),
            Some(file) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file);
                let failed = |cause| Failure::usage(format!("{name}: {cause}"), "");
                (name.clone(), text.map_err(failed)?)
            }
        };
        if kafka.workspaces.is_empty() && text.contains("{workspace}") {
            eprintln!(
                "note: the section [kafka] names no workspaces: topics of workspaces are left out"
            );
        }
        let wanted = catalog::topics(&text, &kafka.workspaces);
        let wanted = wanted.map_err(|problem| Failure::usage(format!("{name}: {problem}"), ""))?;
        let delete = catalog::named(&self.delete, &wanted, &kafka.workspaces);
        let delete = delete.map_err(|problem| {
            Failure::usage(format!("--delete: {problem}"), "see `ionflux topics plan`")
        })?;
        let failed = |problem: String| {
            let hint = "check kafka.brokers, the user's rights and whether the cluster is up";
            Failure::world(format!("kafka: {problem}"), hint)
        };
        let admin = Admin::new(&kafka.connection(&secrets)?).map_err(failed)?;
        let steps = plan(&wanted, &admin.topics().map_err(failed)?, &delete);
        let mut done = 0;
        for step in &steps {
            print(format!("{step}\n").as_bytes())?;
            if apply && step.acts() {
                admin.apply(step).map_err(|problem| failed(format!("{step}: {problem}")))?;
                done += 1;
            }
        }
        let open = steps.iter().filter(|step| Step::acts(step)).count();
        print(
            match apply {
                true => format!("{done} done; {} topics are as they should be\n", wanted.len()),
                false => format!("{open} to do; `ionflux topics apply` does it\n"),
            }
            .as_bytes(),
        )
    }
}

#[cfg(not(feature = "kafka"))]
impl What {
    fn execute(&self, _: bool) -> Result<(), Failure> {
        let Self { config, file: _, delete: _ } = self;
        crate::config::Config::read(config)?;
        Err(crate::config::kafka::not_built())
    }
}
