//! `ionflux reconcile`: our daily totals beside the shop's own.
//!
//! Invariant: a report and nothing else: no number is changed here, on either side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::Day;
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::poller::Stop;
use ionflux_sources::shop;
use ionflux_sources::shopify::admin::totals::{
    COLUMNS, DAYS_MAX, Days, Difference, Facts, Totals, compare, facts, theirs,
};
use ionflux_sources::shopify::admin::{Account, AdminError, Client, Patient};
use serde_json::{Value, json};

use super::query::{self, Query};
use super::replay;
use crate::config::Config;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// How many days are compared where no first day is given.
const DAYS: i32 = 30;

/// Compare our daily totals with the shop's own
///
/// Asks every shop of the configuration, or one, for its totals by day, as its analytics have them,
/// and lists each number that differs from ours, summed over channels. Analytics lag behind: the
/// last day compared is yesterday. Exits with 0 if all are equal and 1 if any differs.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ionflux reconcile --config ionflux.toml
  ionflux reconcile --config ionflux.toml --shop acme.myshopify.com --from 2026-03-01
  ionflux reconcile --config ionflux.toml --state state --output json")]
pub struct Reconcile {
    /// The configuration with the shops and the names of their tokens
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only this shop
    #[arg(long, value_name = "SHOP", value_parser = replay::shop)]
    pub shop: Option<String>,
    /// The first day; 30 days up to the last if not given
    #[arg(long, value_name = "DAY")]
    pub from: Option<Day>,
    /// The last day; yesterday, in the shop's zone, if not given
    #[arg(long, value_name = "DAY")]
    pub to: Option<Day>,
    /// The state folder with our totals, instead of the running instance
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub state: Option<PathBuf>,
    /// The instance with our totals, if it is not the configuration's own
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The certificates that the instance may show, as PEM, or those that vouch for it; without it
    /// its own for the configuration's own instance, and public authorities for another
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    pub ca_file: Option<PathBuf>,
    /// How to print the differences
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// The forms of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// Aligned columns
    Table,
    /// An array of objects, amounts as decimal strings
    Json,
}

/// What one shop came to.
struct Compared {
    shop: String,
    differences: Vec<Difference>,
    /// What could not be compared, in words.
    notes: Vec<String>,
}

impl Reconcile {
    /// Prints the report.
    ///
    /// # Errors
    /// When a side cannot be asked, or numbers differ.
    pub fn execute(&self) -> Result<(), Failure> {
        let config = Config::read(&self.config)?;
        let secrets = config.secrets_file.as_ref().map(|path| self.beside(path));
        let secrets = Secrets::read(secrets.as_deref())?;
        let accounts = self.accounts(&config, &secrets)?;
        let mut compared = Vec::new();
        for account in accounts {
            compared.push(self.compared(account, &config)?);
        }
        match self.output {
            Output::Table => super::print(table(&compared).as_bytes())?,
            Output::Json => super::print(listed(&compared).as_bytes())?,
        }
        verdict(&compared)
    }

    /// A path of the configuration, from where we are.
    fn beside(&self, path: &Path) -> PathBuf {
        self.config.parent().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
    }

    fn accounts(&self, config: &Config, secrets: &Secrets) -> Result<Vec<Account>, Failure> {
        let shops = config.shopify.iter().flat_map(|shopify| &shopify.shops);
        let asked = |name: &str| self.shop.as_deref().is_none_or(|shop| shop == shop::folded(name));
        let wanted = shops.filter(|(name, _)| asked(name));
        let accounts = wanted.map(|(name, shop)| shop.account(name, secrets));
        let accounts: Vec<Account> = accounts.collect::<Result<_, _>>()?;
        if accounts.is_empty() {
            let problem = match &self.shop {
                Some(shop) => format!("the configuration has no shop {shop}"),
                None => "the configuration has no shop to ask".to_owned(),
            };
            let hint = "give it a section [shopify.shops.\"NAME\"]; see config/reference.toml";
            return Err(Failure::usage(problem, hint));
        }
        Ok(accounts)
    }

    fn compared(&self, account: Account, config: &Config) -> Result<Compared, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(Wall::default());
        let (workspace, shop) = (account.workspace.to_string(), account.shop.to_string());
        let mut client = Client::new(account, Arc::clone(&clock), Arc::new(Patient));
        let stop = Stop::default();
        let facts = facts(&mut client, &stop).map_err(asked)?;
        let last = self.to.unwrap_or_else(|| Day(facts.zone.day(clock.now()).0 - 1));
        let first = self.from.unwrap_or(Day(last.0.saturating_sub(DAYS - 1)));
        let days = i64::from(last.0) - i64::from(first.0) + 1;
        if !(1..=DAYS_MAX).contains(&days) {
            let problem = format!("from {first} to {last} are {days} days");
            return Err(Failure::usage(problem, format!("give 1 to {DAYS_MAX} days")));
        }
        let (from, to) = (first.to_string(), last.to_string());
        let theirs = theirs(&mut client, (&from, &to), &stop).map_err(asked)?;
        let rows = self.ours(sql((&workspace, &shop), (&from, &to)), config)?;
        let (ours, notes) = read(&rows, &facts)?;
        Ok(Compared { shop, differences: compare(&ours, &theirs), notes })
    }

    /// Our rows, from where they are.
    fn ours(&self, sql: String, config: &Config) -> Result<Vec<Value>, Failure> {
        let (url, ca_file) = match (&self.state, &self.url) {
            (Some(_), _) => (None, None),
            (None, Some(url)) => (Some(url.clone()), None),
            (None, None) => {
                let own = config.http.tls_certificate.as_ref().map(|file| self.beside(file));
                (Some(config.http.own_url()), own)
            }
        };
        let (state, ca_file) = (self.state.clone(), self.ca_file.clone().or(ca_file));
        let query = Query { state, url, ca_file, output: query::Output::Json, sql };
        let hint = "is that an ionflux of this release?";
        let failed =
            |why: String| Failure::world(format!("our totals cannot be read: {why}"), hint);
        let answer: Value =
            serde_json::from_slice(&query.answer()?).map_err(|error| failed(error.to_string()))?;
        // An instance says beside the rows which epoch they are of; a state gives the rows alone.
        match answer {
            Value::Array(rows) => Ok(rows),
            Value::Object(mut answer) => match answer.remove("rows") {
                Some(Value::Array(rows)) => Ok(rows),
                _ => Err(failed("the answer has no rows".to_owned())),
            },
            _ => Err(failed("the answer has no rows".to_owned())),
        }
    }
}

/// What is asked of our view.
fn sql((workspace, shop): (&str, &str), (from, to): (&str, &str)) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let sums: Vec<String> =
        COLUMNS.iter().map(|column| format!("sum({column}) AS {column}")).collect();
    format!(
        "SELECT CAST(day AS VARCHAR) AS day, currency, {} FROM revenue_by_day \
         WHERE workspace_id = {} AND shop_id = {} AND day BETWEEN DATE '{from}' AND DATE '{to}' \
         GROUP BY day, currency ORDER BY day, currency",
        sums.join(", "),
        text(workspace),
        text(shop)
    )
}

/// Our totals in the shop's currency, and a note for each day in another.
fn read(rows: &[Value], facts: &Facts) -> Result<(Days, Vec<String>), Failure> {
    let (mut days, mut notes) = (Days::new(), Vec::new());
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let (day, currency) = (text("day").to_owned(), text("currency"));
        if currency != facts.currency.code() {
            let own = facts.currency;
            notes.push(format!("{day} has amounts in {currency}, and the shop counts in {own}"));
            continue;
        }
        let mut totals = Totals::default();
        for (total, column) in totals.iter_mut().zip(COLUMNS) {
            let cell = row.get(column).map(|cell| match cell {
                Value::String(text) => text.clone(),
                number => number.to_string(),
            });
            *total = cell.and_then(|cell| decimal(&cell).ok()).ok_or_else(|| {
                Failure::world(format!("our {column} of {day} is no number"), "please report this")
            })?;
        }
        days.insert(day, totals);
    }
    Ok((days, notes))
}

fn asked(error: AdminError) -> Failure {
    Failure::world(error, "what the shop says is in its own words; see [shopify.shops]")
}

/// The differences as rows of text.
fn rows(compared: &[Compared]) -> Vec<[String; 6]> {
    let row = |shop: &str, found: &Difference| {
        let [ours, theirs, more] = found.shown();
        [shop.to_owned(), found.day.clone(), found.column.to_owned(), ours, theirs, more]
    };
    let of = |one: &Compared| -> Vec<[String; 6]> {
        one.differences.iter().map(|found| row(&one.shop, found)).collect()
    };
    compared.iter().flat_map(of).collect()
}

const TITLES: [&str; 6] = ["shop", "day", "column", "ours", "theirs", "difference"];

fn table(compared: &[Compared]) -> String {
    let rows = rows(compared);
    if rows.is_empty() {
        return String::new();
    }
    let all = || rows.iter().map(|row| row.each_ref().map(String::as_str));
    let widths: Vec<usize> = (0..TITLES.len())
        .map(|at| all().chain([TITLES]).filter_map(|row| row.get(at).map(|c| c.len())).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in std::iter::once(TITLES).chain(all()) {
        for (at, (cell, width)) in row.into_iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let written = match at {
                0 => write!(text, "{cell:<width$}"),
                1 | 2 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
            // Writing to a text does not fail.
            written.unwrap_or_default();
        }
        text.push('\n');
    }
    text
}

fn listed(compared: &[Compared]) -> String {
    let object = |row: [String; 6]| -> Value {
        TITLES.into_iter().zip(row).map(|(name, cell)| (name.to_owned(), json!(cell))).collect()
    };
    let objects: Vec<Value> = rows(compared).into_iter().map(object).collect();
    format!("{}\n", Value::Array(objects))
}

/// What the report comes to: nothing where all is equal.
fn verdict(compared: &[Compared]) -> Result<(), Failure> {
    let mut days: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let (mut numbers, mut notes) = (0, 0);
    for one in compared {
        for note in &one.notes {
            eprintln!("note: {}: {note}", one.shop);
        }
        notes += one.notes.len();
        numbers += one.differences.len();
        for found in &one.differences {
            let days = days.entry(&one.shop).or_default();
            if days.last() != Some(&&*found.day) {
                days.push(&found.day);
            }
        }
    }
    if numbers + notes == 0 {
        eprintln!("equal: every total of every day");
        return Ok(());
    }
    let named = days.iter().map(|(shop, days)| format!("{shop} on {}", days.join(", ")));
    let named: Vec<String> = named.collect();
    let problem = format!("{numbers} totals differ, {notes} days are in another currency");
    let hint = format!(
        "to be swept: {}; what changed within seven days is asked for again every night, what is \
         older by a backfill that begins anew",
        named.join("; ")
    );
    Err(Failure::world(problem, if named.is_empty() { String::new() } else { hint }))
}
