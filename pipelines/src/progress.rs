//! Progress of long work: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far some work is.
pub struct Progress {
    label: String,
    total: u64,
    bar: Option<ProgressBar>,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// Work of a number of bytes; 0 where nobody knows how many.
    #[must_use]
    pub fn bytes(label: &str, total: u64) -> Self {
        let fields = "{bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        Self::new(label, total, fields)
    }

    /// Work of a number of steps.
    #[must_use]
    pub fn steps(label: &str, total: u64) -> Self {
        Self::new(label, total, "{human_pos}/{human_len} {per_sec}, {eta} left")
    }

    fn new(label: &str, total: u64, fields: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let text = format!("{{msg}} {{bar:30}} {fields}");
            if let Ok(style) = ProgressStyle::with_template(&text) {
                bar.set_style(style);
            }
            bar.set_message(label.to_owned());
            bar
        });
        let now = Instant::now();
        Self { label: label.to_owned(), total, bar, started: now, said: now }
    }

    /// Says how much is done.
    pub fn at(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let percent = (done * 100).checked_div(self.total).unwrap_or(0).min(100);
            let seconds = self.started.elapsed().as_secs();
            eprintln!("{}: {percent} % after {seconds} s", self.label);
        }
    }

    /// Says how much is done, of how much as far as is known by now.
    pub fn of(&mut self, done: u64, total: u64) {
        if self.total != total {
            self.total = total;
            self.bar.iter().for_each(|bar| bar.set_length(total));
        }
        self.at(done);
    }

    /// Takes the bar away.
    pub fn done(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
