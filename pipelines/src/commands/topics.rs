//! `ionflux topics`: the topics of clusters as a catalogue and the sinks say they should be.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Show or make the topics that a catalogue names and those that the Kafka sink writes
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
    /// The configuration, whose section [kafka] names the cluster of the catalogue's topics and the
    /// workspaces, and whose section [sinks.kafka] that of the views' topics
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
mod connected {
    use std::collections::{BTreeMap, BTreeSet};

    use ionflux_operators::list;
    use ionflux_sinks::kafka::{self, KafkaConfig};
    use ionflux_sources::kafka::catalog::{self, Step, Topic, Topics, plan};
    use ionflux_sources::kafka::connection::Connection;
    use ionflux_sources::kafka::provision::Admin;

    use super::What;
    use crate::commands::print;
    use crate::config::Config;
    use crate::config::kafka::of_sink;
    use crate::failure::Failure;
    use crate::secrets::Secrets;

    /// Topics of one cluster, as they should be.
    struct Wanted {
        /// The section that names the cluster.
        section: &'static str,
        connection: Connection,
        topics: Topics,
        delete: BTreeSet<String>,
        /// Those of the same cluster that another section names.
        others: BTreeSet<String>,
    }

    impl What {
        pub(super) fn execute(&self, apply: bool) -> Result<(), Failure> {
            let config = Config::read(&self.config)?;
            let secrets = Secrets::of(&config, &self.config)?;
            let sink = config.sinks.kafka.as_ref();
            let written = sink.map_or_else(Topics::new, written);
            let mut clusters = Vec::new();
            clusters.extend(self.catalogued((&config, &secrets), &written)?);
            if let Some(section) = sink {
                let mut sinks = Wanted {
                    section: "sinks.kafka",
                    connection: of_sink(section, &secrets)?,
                    topics: written,
                    delete: BTreeSet::new(),
                    others: BTreeSet::new(),
                };
                for catalogue in &mut clusters {
                    catalogue.meet(&mut sinks);
                }
                clusters.push(sinks);
            }
            if clusters.is_empty() {
                let problem = format!(
                    "{}: there is neither a section [kafka] nor [sinks.kafka]",
                    self.config.display()
                );
                let hint = "each names a cluster: brokers = \"host:port\"";
                return Err(Failure::usage(problem, hint));
            }
            let many = clusters.len() > 1;
            clusters.iter().try_for_each(|cluster| cluster.execute(apply, many))
        }

        /// The topics of the catalogue, on the cluster of the section `[kafka]`.
        fn catalogued(
            &self,
            (config, secrets): (&Config, &Secrets),
            written: &Topics,
        ) -> Result<Option<Wanted>, Failure> {
            let Some(kafka) = &config.kafka else {
                if self.file.is_some() || !self.delete.is_empty() {
                    let problem = format!("{}: there is no section [kafka]", self.config.display());
                    let hint = "it names the cluster that --file and --delete are about";
                    return Err(Failure::usage(problem, hint));
                }
                return Ok(None);
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
                    "note: the section [kafka] names no workspaces: topics of workspaces are left \
                     out"
                );
            }
            let topics = catalog::topics(&text, &kafka.workspaces);
            let topics =
                topics.map_err(|problem| Failure::usage(format!("{name}: {problem}"), ""))?;
            let mut named = topics.clone();
            named.extend(written.clone());
            let delete = catalog::named(&self.delete, &named, &kafka.workspaces);
            let delete = delete.map_err(|problem| {
                Failure::usage(format!("--delete: {problem}"), "see `ionflux topics plan`")
            })?;
            let connection = kafka.connection(secrets)?;
            let others = BTreeSet::new();
            Ok(Some(Wanted { section: "kafka", connection, topics, delete, others }))
        }
    }

    /// The topics that the sink writes.
    fn written(section: &KafkaConfig) -> Topics {
        let topics = kafka::topics(section, &list::views());
        let named = topics.iter().map(|topic| {
            let settings = topic.settings().into_iter();
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let settings: BTreeMap<String, String> = settings.collect();
            (topic.name.clone(), Topic { partitions: topic.partitions, settings })
        });
        named.collect()
    }

    /// The brokers of an address, in whatever order it names them.
    fn brokers(text: &str) -> BTreeSet<&str> {
        text.split(',').map(str::trim).collect()
    }

    impl Wanted {
        /// Tells each of the other's topics, if they are of one cluster.
        fn meet(&mut self, other: &mut Self) {
            if brokers(&self.connection.brokers) == brokers(&other.connection.brokers) {
                self.others.extend(other.topics.keys().cloned());
                other.others.extend(self.topics.keys().cloned());
            }
        }

        fn execute(&self, apply: bool, titled: bool) -> Result<(), Failure> {
            let section = self.section;
            let failed = |problem: String| {
                let hint = "check the section's brokers, the user's rights and whether the cluster \
                            is up";
                Failure::world(format!("{section}: {problem}"), hint)
            };
            if titled {
                print(format!("[{section}]\n").as_bytes())?;
            }
            let admin = Admin::new(&self.connection).map_err(failed)?;
            let mut steps = plan(&self.topics, &admin.topics().map_err(failed)?, &self.delete);
            steps.retain(|step| !matches!(step, Step::Unknown(name) if self.others.contains(name)));
            let mut done = 0;
            for step in &steps {
                print(format!("{step}\n").as_bytes())?;
                if apply && step.acts() {
                    admin.apply(step).map_err(|problem| failed(format!("{step}: {problem}")))?;
                    done += 1;
                }
            }
            let (open, all) =
                (steps.iter().filter(|step| Step::acts(step)).count(), self.topics.len());
            let said = match (apply, open) {
                (true, _) => format!("{done} done; {all} topics are as they should be\n"),
                (false, 0) => "nothing to do\n".to_owned(),
                (false, _) => format!("{open} to do; `ionflux topics apply` does it\n"),
            };
            print(said.as_bytes())
        }
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
