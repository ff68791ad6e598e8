//! `ionflux query`: SQL over the views of a state folder or of a running instance.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use ionflux_service::render::{self, Format};
use ionflux_service::sql;
use ionflux_service::tables::Tables;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::failure::Failure;
use crate::state::State;

/// Ask the views anything, in SQL
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ionflux query --state books \"SELECT day, orders, net_sales FROM revenue_by_day ORDER BY day\"
  ionflux query --state books \"SELECT product_id, sum(net_sales) AS net
      FROM revenue_by_product_day GROUP BY product_id ORDER BY net DESC LIMIT 10\"
  ionflux query --url http://127.0.0.1:8080 --output csv \"SELECT * FROM faults\"
  ionflux query --url http://127.0.0.1:8080 \"SELECT name, state, reason FROM sinks\"")]
pub struct Query {
    /// The state folder of an ionflux replay or run
    #[arg(long, value_name = "DIR", required_unless_present = "url", conflicts_with = "url")]
    pub state: Option<PathBuf>,
    /// A running instance
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The certificates that an instance may show, as PEM, or those that vouch for it; without it
    /// public authorities do
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// One SELECT
    #[arg(value_name = "SQL")]
    pub sql: String,
}

/// The forms of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// Aligned columns
    Table,
    /// An array of objects, amounts as decimal strings
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Parquet bytes, for a file
    Parquet,
}

impl Output {
    fn format(self) -> Format {
        match self {
            Self::Table => Format::Table,
            Self::Json => Format::Json,
            Self::Csv => Format::Csv,
            Self::Parquet => Format::Parquet,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain",
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl Query {
    /// Prints the answer.
    ///
    /// # Errors
    /// When the state or the instance cannot be reached, or the query is wrong.
    pub fn execute(&self) -> Result<(), Failure> {
        super::print(&self.answer()?)
    }

    /// The answer as it is printed.
    pub(super) fn answer(&self) -> Result<Vec<u8>, Failure> {
        match (&self.state, &self.url) {
            (Some(folder), _) => self.ask_state(&State::open(folder)?),
            (None, Some(url)) => self.ask_url(url),
            (None, None) => Err(Failure::usage("nothing to query", "give --state or --url")),
        }
    }

    fn ask_state(&self, state: &State) -> Result<Vec<u8>, Failure> {
        let views = state.views()?;
        let tables = views.tables.into_iter().map(|view| (view.name, view.rows)).collect();
        let tables = Arc::new(Tables::of_batches(views.epoch, views.as_of, tables));
        let failed = |cause: &dyn std::fmt::Display| Failure::world(cause, "");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|cause| failed(&cause))?;
        let answer = runtime.block_on(sql::query(&tables, &self.sql))?;
        if answer.truncated {
            eprintln!(
                "note: only the first {} rows are shown; add a LIMIT or a WHERE",
                answer.rows()
            );
        }
        render::render(&answer, self.output.format()).map_err(|cause| failed(&cause))
    }

    /// Whom an instance has to be vouched for by.
    fn trusted(&self) -> Result<RootCerts, Failure> {
        let Some(file) = &self.ca_file else { return Ok(RootCerts::WebPki) };
        let wrong = |why: &dyn std::fmt::Display| {
            let hint = "--ca-file names certificates as PEM";
            Failure::usage(format!("{}: {why}", file.display()), hint)
        };
        let text = std::fs::read(file).map_err(|cause| wrong(&cause))?;
        let items: Result<Vec<PemItem<'_>>, _> = parse_pem(&text).collect();
        let items = items.map_err(|cause| wrong(&cause))?;
        let certificate = |item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        };
        let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
        match certificates.is_empty() {
            true => Err(wrong(&"holds no certificate")),
            false => Ok(certificates.into()),
        }
    }

    fn ask_url(&self, url: &str) -> Result<Vec<u8>, Failure> {
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            let problem = format!("--url {url} is not the address of an instance");
            return Err(Failure::usage(problem, "give one such as http://127.0.0.1:8080"));
        }
        let url = format!("{}/v1/sql", url.trim_end_matches('/'));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(self.trusted()?).build())
            .timeout_global(Some(std::time::Duration::from_secs(60)))
            .build();
        let failed = |cause: ureq::Error| {
            let tls = url.starts_with("https://");
            let hint = match tls {
                true => {
                    "is ionflux running there? give --url the name its certificate is for, \
                         and --ca-file the PEM file that vouches for it"
                }
                false => "is ionflux running there?",
            };
            Failure::world(format!("{url}: {cause}"), hint)
        };
        let mut response = ureq::Agent::new_with_config(config)
            .post(&url)
            .header("accept", self.output.media_type())
            .send(&self.sql)
            .map_err(failed)?;
        let limit = sql::ANSWER_BYTES_MAX as u64 * 2;
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
        if response.status().is_success() {
            if response.headers().contains_key("ionflux-truncated") {
                eprintln!("note: not all rows are shown; add a LIMIT or a WHERE");
            }
            return Ok(body);
        }
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| problem.get(key).and_then(|text| text.as_str()).unwrap_or_default();
        let detail = match text("detail") {
            "" => format!("{url} answered {}", response.status()),
            detail => detail.to_owned(),
        };
        Err(Failure::world(detail, text("hint")))
    }
}
