//! What is wrong with a document: every problem at once, each with its item, line and field.
//!
//! Invariant: a problem names what was asked for and never repeats a value beyond a few characters;
//! there are never more of them than somebody reads.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How many problems are told; the others are counted.
pub const PROBLEMS_MAX: usize = 100;

/// The lines of a document's fields, by their paths; a field that has none has its parent's.
pub type Lines = BTreeMap<String, u64>;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// Which document of a list, counted from 0.
    pub item: usize,
    /// The line it stands in, where the text has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The field, such as `steps[2].count.at_least`; empty for the document itself.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, line, field, reason } = self;
        match line {
            Some(line) => write!(f, "line {line}: ")?,
            None => write!(f, "item {item}: ")?,
        }
        if field.is_empty() { f.write_str(reason) } else { write!(f, "{field}: {reason}") }
    }
}

/// Problems as they are found.
#[derive(Default, Debug)]
pub struct Problems {
    found: Vec<Problem>,
    more: usize,
    item: usize,
    lines: Lines,
}

impl Problems {
    /// From now on problems are those of another document.
    pub fn begin(&mut self, item: usize, lines: Lines) {
        (self.item, self.lines) = (item, lines);
    }

    /// A problem of a field.
    pub fn add(&mut self, at: &Path<'_>, reason: impl Into<String>) {
        if self.found.len() >= PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let field = at.to_string();
        let line = line_of(&self.lines, &field);
        self.found.push(Problem { item: self.item, line, field, reason: reason.into() });
    }

    /// Brings them into the order of their documents.
    pub fn sort(&mut self) {
        self.found.sort_by_key(|problem| problem.item);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// Those that are told.
    #[must_use]
    pub fn told(&self) -> &[Problem] {
        &self.found
    }

    /// How many are not.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }
}

/// The line of a field, or of the innermost that holds it and has one.
#[must_use]
pub fn line_of(lines: &Lines, field: &str) -> Option<u64> {
    let mut path = field;
    loop {
        if let Some(line) = lines.get(path) {
            return Some(*line);
        }
        if path.is_empty() {
            return None;
        }
        path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
    }
}

/// Where a value stands in its document.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The document itself.
    Root,
    /// A member of an object.
    Member(&'a Self, &'a str),
    /// An element of a list.
    Element(&'a Self, usize),
}

/// The longest name of a field that is repeated to its sender, in characters.
const NAME_CHARS_MAX: usize = 60;

/// What is shown of a text.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}

impl<'a> Path<'a> {
    /// A member of what stands here.
    #[must_use]
    pub fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    /// An element of what stands here.
    #[must_use]
    pub fn element(&'a self, index: usize) -> Self {
        Self::Element(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(&shown(name)),
            Self::Member(parent, name) => write!(f, "{parent}.{}", shown(name)),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_line_of_the_innermost_field_that_has_one() {
        let lines: Lines = [("", 1), ("steps", 4), ("steps[2]", 9), ("steps[2].count", 10)]
            .map(|(path, line)| (path.to_owned(), line))
            .into();
        let line = |path: &str| line_of(&lines, path);
        assert_eq!(line("steps[2].count.at_least"), Some(10));
        assert_eq!(line("steps[2].name"), Some(9));
        assert_eq!(line("steps[1].name"), Some(4));
        assert_eq!((line("name"), line("")), (Some(1), Some(1)));
        assert_eq!(line_of(&Lines::new(), "name"), None);
    }

    #[test]
    fn what_nobody_would_read_is_counted() {
        let mut problems = Problems::default();
        for index in 0..PROBLEMS_MAX + 7 {
            problems.add(&Path::Root.member("steps").element(index), "wrong");
        }
        assert_eq!((problems.told().len(), problems.more()), (PROBLEMS_MAX, 7));
        assert_eq!(problems.told()[3].to_string(), "item 0: steps[3]: wrong");
        assert_eq!(problems.count(), PROBLEMS_MAX + 7);
    }
}
