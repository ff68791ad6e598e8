//! `ionflux faults`: the dead letters of a state, one by one and once more.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::Differences;
use ionflux_schemas::fault::Fault;
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::Zone;
use ionflux_sources::clock::Wall;
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::kafka::again::give_schema;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::registry::Registry;
use ionflux_sources::subjects::Subjects;
use ionflux_sources::subjects::raw::LAID_ASIDE;

use super::replay::{currency, shop, zone};
use crate::assemble::{self, Books, Options};
use crate::config::Config;
use crate::failure::Failure;
use crate::forgetting::lay;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::state::State;

/// Records that could not be counted: list them, look at one, read them again after a fix
///
/// Every record that is refused is kept with its raw bytes, its reason and its place. After a fix
/// (a new release, or an option below) `replay` turns those that can be read now into facts,
/// exactly once; the others stay.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ionflux faults list --state books
  ionflux faults show 3f2a --state books
  ionflux faults replay --state books --currency EUR")]
pub struct Faults {
    /// What to do with them
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with faults.
#[derive(Subcommand, Debug)]
pub enum Action {
    /// Print every fault: its id, kind, place and reason
    List(List),
    /// Print one fault with everything known of it, and its raw bytes
    Show(Show),
    /// Read dead letters again, and count those that can be read now
    Replay(Box<Again>),
}

/// The arguments of `list`.
#[derive(Args, Debug)]
pub struct List {
    /// The state folder; no other ionflux may be using it
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// How many are printed at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: usize,
}

/// The arguments of `show`.
#[derive(Args, Debug)]
pub struct Show {
    /// The fault's id, or how it begins
    #[arg(value_name = "ID")]
    pub id: String,
    /// The state folder; no other ionflux may be using it
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Print the raw bytes and nothing else
    #[arg(long)]
    pub raw: bool,
}

/// The arguments of `replay`.
#[derive(Args, Debug)]
pub struct Again {
    /// Ids of faults, or how they begin; all of them if none is given
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// The state folder; no other ionflux may be using it
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// The currency of amounts that name none
    #[arg(long, value_name = "C", value_parser = currency)]
    pub currency: Option<Currency>,
    /// The shop of records that name none
    #[arg(long, value_name = "S", value_parser = shop)]
    pub shop: Option<String>,
    /// The zone of times without an offset
    #[arg(long, value_name = "TZ", value_parser = zone)]
    pub timezone: Option<Zone>,
    /// The configuration, whose section registry may know the schemas of messages by now
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A corrected mapping, for rows of plain CSV
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
}

impl Faults {
    /// Does what was asked.
    ///
    /// # Errors
    /// When the state cannot be used, or no fault has the id.
    pub fn execute(&self) -> Result<(), Failure> {
        match &self.action {
            Action::List(list) => list.execute(),
            Action::Show(show) => show.execute(),
            Action::Replay(again) => again.execute(),
        }
    }
}

/// A ledger to look into; the state is ours as long as it is held.
fn open(folder: &Path) -> Result<(State, Ledger, Arc<Dictionary>), Failure> {
    let state = State::own(folder)?;
    let options = Options { state: None, base_zone: BaseZone::Unknown, workers: 1 };
    let dictionary = Arc::new(Dictionary::new());
    let ledger = assemble::ledger(Some(&state), Arc::clone(&dictionary), &options)?;
    Ok((state, ledger, dictionary))
}

/// The keyed place, where bytes lie that no journal and no ledger may hold.
fn subjects(state: &State) -> Result<Subjects, Failure> {
    Ok(Subjects::open(&state.subjects(), Arc::new(Wall::default()))?)
}

/// Every fault that is held, also those of orders that wait for another record, by id.
fn all(ledger: &Ledger, dictionary: &Dictionary) -> Result<Vec<(String, Fault)>, Failure> {
    let mut held = BTreeSet::new();
    let mut bar = Progress::steps("reading the ledger", ledger.stats().entities);
    let portion = |differences: Differences| {
        held.extend(differences.faults.into_iter().map(|(fault, _)| fault));
        Ok::<_, Failure>(())
    };
    ledger.hydrate_with(100_000, portion, |done, _| bar.at(done))?;
    bar.done();
    let named = |number: u32| {
        let fault = dictionary.faults.name(number);
        (fault.id(), fault)
    };
    let mut faults: Vec<_> = held.into_iter().map(named).collect();
    faults.sort_by(|(a, left), (b, right)| {
        (&left.place.source, left.place.line, a).cmp(&(&right.place.source, right.place.line, b))
    });
    Ok(faults)
}

impl List {
    fn execute(&self) -> Result<(), Failure> {
        let (_state, ledger, dictionary) = open(&self.state)?;
        let faults = all(&ledger, &dictionary)?;
        let mut text = String::new();
        for (id, fault) in faults.iter().take(self.limit) {
            let Fault { shop, kind, place, subject, reason } = fault;
            let kind = kind.name();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id}  {kind:<17}  {place}  {shop}  {subject}: {reason}");
        }
        let (shown, total) = (faults.len().min(self.limit), faults.len());
        match total {
            0 => text.push_str("no faults\n"),
            _ if shown == total => {
                let _ = writeln!(text, "{total} faults");
            }
            _ => {
                let _ = writeln!(text, "{shown} of {total} faults; --limit shows more");
            }
        }
        super::print(text.as_bytes())
    }
}

impl Show {
    fn execute(&self) -> Result<(), Failure> {
        let (state, ledger, dictionary) = open(&self.state)?;
        let (id, fault) = self.find(&ledger, &dictionary)?;
        let mut letter = ledger.fault(&id)?.and_then(|(_, letter)| letter);
        if let Some(letter) = &mut letter {
            subjects(&state)?.restore_letter(letter)?;
        }
        if self.raw {
            let missing = || {
                let problem = format!("fault {id} has no raw bytes of its own");
                Failure::world(problem, "its record was read well; see its reason without --raw")
            };
            return super::print(&letter.ok_or_else(missing)?.bytes);
        }
        super::print(&described(&id, &fault, letter.as_ref()))
    }

    /// By the whole id at once; by its beginning through all of them.
    fn find(&self, ledger: &Ledger, known: &Dictionary) -> Result<(String, Fault), Failure> {
        if let Some((fault, _)) = ledger.fault(&self.id)? {
            return Ok((self.id.clone(), fault));
        }
        let mut faults = all(ledger, known)?;
        faults.retain(|(id, _)| id.starts_with(&self.id));
        match faults.len() {
            1 => Ok(faults.remove(0)),
            0 => Err(unknown(&self.id)),
            many => {
                let problem = format!("{many} faults have an id that begins with {}", self.id);
                Err(Failure::usage(problem, "give more of its digits"))
            }
        }
    }
}

fn unknown(id: &str) -> Failure {
    let shown: String = id.chars().take(40).collect();
    let hint = "see ionflux faults list --state DIR";
    Failure::world(format!("no fault has the id {shown}"), hint)
}

fn described(id: &str, fault: &Fault, letter: Option<&Letter>) -> Vec<u8> {
    let Fault { shop, kind, place, subject, reason } = fault;
    let mut lines = vec![
        ("fault", id.to_owned()),
        ("kind", kind.name().to_owned()),
        ("workspace", shop.workspace.to_string()),
        ("shop", shop.shop.to_string()),
        ("place", place.to_string()),
        ("subject", subject.to_string()),
        ("reason", reason.to_string()),
        ("remedy", kind.remedy().to_owned()),
    ];
    if let Some(letter) = letter {
        lines.push(("read as", letter.format.to_string()));
        lines.extend(letter.position.map(|at| ("journal", format!("position {at}"))));
        lines.extend(letter.received_at.map(|at| ("received", at.to_string())));
        for (name, value) in &letter.context {
            lines.push(("told", format!("{name} = {}", value.trim_end().replace('\n', "\n  | "))));
        }
        lines.push(("bytes", letter.bytes.len().to_string()));
    }
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    }
    let mut out = text.into_bytes();
    if let Some(letter) = letter {
        out.push(b'\n');
        out.extend_from_slice(&letter.bytes);
        out.push(b'\n');
    }
    out
}

/// What came of reading letters again.
#[derive(Default)]
struct Outcome {
    letters: usize,
    counted: usize,
    faulty: usize,
}

impl Again {
    fn execute(&self) -> Result<(), Failure> {
        let (changes, mut registry) = (self.changes()?, self.registry()?);
        let state = State::own(&self.state)?;
        let options = Options { state: None, base_zone: BaseZone::Unknown, workers: 1 };
        let mut books = Books::of(Some(state), &options)?;
        let wanted = self.wanted(books.engine.ledger())?;
        let mut outcome = Outcome::default();
        let (mut understood, subjects) = (Vec::new(), books.engine.subjects());
        for (letter, faults) in wanted {
            // Gone meanwhile only if it was one letter of two faults that were both asked for.
            let Some(mut letter) = books.engine.ledger().letter(letter)? else { continue };
            outcome.letters += 1;
            let aside = letter.context.get(LAID_ASIDE).cloned();
            if let Some(subjects) = &subjects {
                subjects.restore_letter(&mut letter)?;
            }
            if letter.bytes.is_empty()
                && (aside.is_some() || letter.context.contains_key("redacted"))
            {
                eprintln!("note: the letter of fault {}: its bytes are forgotten", faults[0]);
                outcome.faulty += faults.len();
                continue;
            }
            if let Some(registry) = &mut registry
                && let Err(problem) = give_schema(&mut letter, registry)
            {
                eprintln!("note: the letter of fault {}: {problem}", faults[0]);
            }
            let mut decoded = match read_again(&letter, &changes) {
                Ok(decoded) => decoded,
                Err(problem) => {
                    eprintln!("note: the letter of fault {}: {problem}", faults[0]);
                    outcome.faulty += faults.len();
                    continue;
                }
            };
            let still: BTreeSet<String> = decoded.faults.iter().map(Fault::id).collect();
            let solved = faults.into_iter().filter(|id| !still.contains(id));
            let solved: Vec<String> = solved.collect();
            outcome.faulty += still.len();
            outcome.counted += usize::from(still.is_empty());
            books.engine.resolve(solved);
            // People of deliveries have their names already, but in bytes that were laid aside.
            let known = letter.position.is_some() && aside.is_none();
            match (&mut decoded.letter, aside) {
                (Some(letter), Some(name)) => lay(letter, &name),
                (None, Some(name)) => understood.push(name),
                _ => {}
            }
            match known {
                true => books.engine.add(decoded),
                false => books.engine.add_file(decoded)?,
            }
            if books.engine.full() {
                books.engine.close_epoch(None)?;
            }
        }
        books.finish()?;
        for (name, subjects) in understood.iter().zip(subjects.iter().cycle()) {
            subjects.clear(name)?;
        }
        let Outcome { letters, counted, faulty } = outcome;
        let said = match letters {
            0 => "nothing to read again: no dead letters\n".to_owned(),
            _ => {
                format!("{letters} read again: {counted} are counted now, {faulty} faults remain\n")
            }
        };
        super::print(said.as_bytes())
    }

    fn registry(&self) -> Result<Option<Registry>, Failure> {
        let Some(file) = &self.config else { return Ok(None) };
        let config = Config::read(file)?;
        let Some(registry) = &config.registry else {
            let problem = format!("{}: there is no section [registry]", file.display());
            return Err(Failure::usage(problem, "it says where schemas are asked for"));
        };
        registry.client(&Secrets::of(&config, file)?).map(Some)
    }

    fn changes(&self) -> Result<Changes, Failure> {
        let usage = |e| Failure::from(e).of_usage();
        let mapping = self.mapping.as_deref().map(Mapping::open).transpose().map_err(usage)?;
        Ok(Changes {
            currency: self.currency,
            shop: self.shop.as_deref().map(Into::into),
            zone: self.timezone.clone(),
            mapping,
        })
    }

    /// The letters that were asked for, each with its faults.
    fn wanted(&self, ledger: &Ledger) -> Result<Vec<(u128, Vec<String>)>, Failure> {
        let mut letters: std::collections::BTreeMap<u128, Vec<String>> = Default::default();
        let mut found = BTreeSet::new();
        let asked: BTreeSet<&str> = self.ids.iter().map(String::as_str).collect();
        ledger.for_each_fault(|id, _, letter| {
            if let Some(letter) = letter {
                letters.entry(letter).or_default().push(id.to_owned());
            }
            found.extend(asked.iter().copied().filter(|asked| id.starts_with(asked)));
            Ok::<_, Failure>(())
        })?;
        if let Some(missing) = asked.iter().find(|asked| !found.contains(*asked)) {
            return Err(unknown(missing));
        }
        // All faults of a letter are read together: it is one record.
        let asked = |id: &String| asked.is_empty() || asked.iter().any(|a| id.starts_with(a));
        letters.retain(|_, ids| ids.iter().any(asked));
        Ok(letters.into_iter().collect())
    }
}
