//! CSV records out of bytes, one broken line at a time.
//!
//! Invariant: every line that is not blank belongs to exactly one record, and a quote that is
//! never closed costs its own line, not the rest of the file: when a record that spans lines is
//! not well formed or has not the header's number of fields, only its first line is given up.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use crate::draft::CUT_BYTES;

/// The most bytes a record may have, over all its lines: 32 MiB.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How fields are set apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialect {
    /// Between two fields.
    pub delimiter: u8,
    /// Around a field that holds delimiters or line ends, doubled inside; `None` for no quoting.
    pub quote: Option<u8>,
}

/// The fields of one record.
#[derive(Default)]
pub struct Record {
    text: Vec<u8>,
    fields: Vec<Range<usize>>,
    /// The line the record starts at, counted from 1.
    pub line: u64,
}

impl Record {
    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// There is no field, which only happens before the first record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The bytes of a field; empty beyond the last.
    #[must_use]
    pub fn get(&self, field: usize) -> &[u8] {
        self.fields.get(field).map_or(&[], |range| &self.text[range.clone()])
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().map(|range| &self.text[range.clone()])
    }
}

/// What the reader found next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A record, with as many fields as it happens to have.
    Record,
    /// A line beyond [`RECORD_BYTES_MAX`]; it was skipped.
    TooLong,
    /// A line that opens a quote and does not fit; the next line starts afresh.
    OpenQuote,
    /// The end of the file.
    End,
}

/// A reader of records that holds no more than one record's lines.
pub struct Records<R> {
    reader: R,
    dialect: Dialect,
    /// Whole lines read ahead, from `start` on: the lines of a record that spans several stay
    /// here until it is known to be one.
    ahead: Vec<u8>,
    start: usize,
    /// What was given out or given up last, inside the lines ahead.
    last: Range<usize>,
    /// The beginning of a line that was too long.
    beginning: Vec<u8>,
    /// The line after those ahead was too long and is gone.
    skipped: bool,
    /// How many lines were given out, given up or skipped.
    line: u64,
    /// How many bytes may still be looked at for the other end of a quote. It grows with every
    /// byte given out, so that a file of nothing but open quotes costs linear time.
    credit: usize,
}

const CREDIT_MAX: usize = 4 * RECORD_BYTES_MAX;
const CREDIT_PER_BYTE: usize = 8;

/// What lies at the start of some lines.
enum Split {
    /// A record that takes `end` bytes and `lines` lines; `tight` when nothing stands between a
    /// closing quote and the end of its field.
    Complete { end: usize, lines: u64, tight: bool },
    /// A record whose quote is still open at the end.
    Unclosed,
}

/// What was read from the stream.
enum Line {
    Read,
    TooLong,
    End,
}

impl<R: BufRead> Records<R> {
    /// A reader of a stream's records, the header being the first.
    pub fn new(reader: R, dialect: Dialect) -> Self {
        let (ahead, beginning, credit) = (Vec::new(), Vec::new(), CREDIT_MAX);
        let (start, last, skipped, line) = (0, 0..0, false, 0);
        Self { reader, dialect, ahead, start, last, beginning, skipped, line, credit }
    }

    /// What was found last, as it stands in the file: the lines of a record, or the one that
    /// opens a quote, without its end.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        let raw = self.ahead.get(self.last.clone()).unwrap_or_default();
        raw.strip_suffix(b"\n").unwrap_or(raw)
    }

    /// The first [`CUT_BYTES`] of the last line that was too long.
    #[must_use]
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Goes on as if `line` lines had been read so far.
    pub(super) fn resume_after(&mut self, line: u64) {
        self.line = line;
    }

    /// How many lines were read or skipped so far.
    pub fn lines_read(&self) -> u64 {
        self.line
    }

    /// Reads the next record into `record`. `width` is how many fields it should have, by which
    /// a record over several lines is told from an open quote; 0 where that is not known.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn next(&mut self, record: &mut Record, width: usize) -> io::Result<Found> {
        loop {
            if self.start == self.ahead.len() {
                self.ahead.clear();
                self.start = 0;
                let line = if self.skipped { Line::TooLong } else { self.read_line()? };
                self.skipped = false;
                match line {
                    Line::End => return Ok(Found::End),
                    Line::TooLong => {
                        self.line += 1;
                        record.line = self.line;
                        return Ok(Found::TooLong);
                    }
                    Line::Read => {}
                }
            }
            let blank = match &self.ahead[self.start..] {
                [b'\n', ..] | [b'\r'] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return self.split(record, width),
            };
            self.give_out(blank, 1);
        }
    }

    fn split(&mut self, record: &mut Record, width: usize) -> io::Result<Found> {
        record.line = self.line + 1;
        let mut window = self.lines_within(1);
        loop {
            match split(&self.ahead[self.start..self.start + window], self.dialect, record) {
                Split::Complete { end, lines, tight } => {
                    let fits = width == 0 || (tight && record.len() == width);
                    if lines > 1 && !fits {
                        return Ok(self.give_up_line());
                    }
                    self.give_out(end, lines);
                    return Ok(Found::Record);
                }
                Split::Unclosed => {
                    // Doubling keeps the work linear in the bytes of a record.
                    if window >= RECORD_BYTES_MAX || window > self.credit {
                        return Ok(self.give_up_line());
                    }
                    self.credit -= window;
                    self.read_ahead(window * 2)?;
                    let wider = self.lines_within(window * 2);
                    if wider == window {
                        return Ok(self.give_up_line());
                    }
                    window = wider;
                }
            }
        }
    }

    /// How many bytes the lines take that hold the first `bytes` bytes ahead.
    fn lines_within(&self, bytes: usize) -> usize {
        let lines = &self.ahead[self.start..];
        let from = lines.len().min(bytes.saturating_sub(1));
        let end = lines[from..].iter().position(|&b| b == b'\n');
        end.map_or(lines.len(), |end| from + end + 1)
    }

    fn give_out(&mut self, bytes: usize, lines: u64) {
        self.last = self.start..self.start + bytes;
        self.start += bytes;
        self.line += lines;
        self.credit = CREDIT_MAX.min(self.credit + bytes * CREDIT_PER_BYTE);
    }

    /// Leaves the first line behind, whatever quote it opened.
    fn give_up_line(&mut self) -> Found {
        self.give_out(self.lines_within(1), 1);
        Found::OpenQuote
    }

    /// Reads whole lines until `wanted` bytes are ahead, or no more can be.
    fn read_ahead(&mut self, wanted: usize) -> io::Result<()> {
        if self.ahead.len() - self.start >= wanted {
            return Ok(());
        }
        self.ahead.drain(..self.start);
        self.start = 0;
        while !self.skipped && self.ahead.len() < wanted {
            match self.read_line()? {
                Line::Read => {}
                Line::TooLong => self.skipped = true,
                Line::End => break,
            }
        }
        Ok(())
    }

    /// Appends a line to those ahead; of one that is too long nothing stays.
    fn read_line(&mut self) -> io::Result<Line> {
        let before = self.ahead.len();
        let limit = RECORD_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.ahead)?;
        if read == 0 {
            return Ok(Line::End);
        }
        if read <= RECORD_BYTES_MAX {
            return Ok(Line::Read);
        }
        let mut ended = self.ahead.last() == Some(&b'\n');
        let beginning = self.ahead.get(before..before + CUT_BYTES).unwrap_or_default();
        self.beginning.clear();
        self.beginning.extend_from_slice(beginning);
        self.ahead.truncate(before);
        self.ahead.shrink_to(RECORD_BYTES_MAX);
        while !ended {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|&b| b == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            ended = end.is_some() || used == 0;
            self.reader.consume(used);
        }
        Ok(Line::TooLong)
    }
}

/// Splits the record at the start of some lines into its fields.
fn split(lines: &[u8], dialect: Dialect, record: &mut Record) -> Split {
    let Dialect { delimiter, quote } = dialect;
    record.text.clear();
    record.fields.clear();
    let (mut at, mut lines_read, mut tight) = (0, 1, true);
    loop {
        let from = record.text.len();
        let opening = quote.filter(|quote| lines.get(at) == Some(quote));
        if let Some(quote) = opening {
            at += 1;
            loop {
                let inside = &lines[at..];
                let Some(end) = inside.iter().position(|&b| b == quote) else {
                    return Split::Unclosed;
                };
                lines_read += inside[..end].iter().filter(|&&b| b == b'\n').count() as u64;
                record.text.extend_from_slice(&inside[..end]);
                at += end + 1;
                if lines.get(at) != Some(&quote) {
                    break;
                }
                record.text.push(quote);
                at += 1;
            }
        }
        let rest = &lines[at..];
        let end = rest.iter().position(|&b| b == delimiter || b == b'\n').unwrap_or(rest.len());
        at += end;
        let last = lines.get(at) != Some(&delimiter);
        let kept = if last { rest[..end].strip_suffix(b"\r") } else { None };
        let kept = kept.unwrap_or(&rest[..end]);
        tight &= opening.is_none() || kept.is_empty();
        record.text.extend_from_slice(kept);
        record.fields.push(from..record.text.len());
        at = lines.len().min(at + 1);
        if last {
            return Split::Complete { end: at, lines: lines_read, tight };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMMA: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

    /// Every record as `line: a|b|c`, what was given up as `line: open` or `line: long`.
    fn read(text: &[u8], dialect: Dialect, width: usize) -> Vec<String> {
        let mut records = Records::new(text, dialect);
        let mut record = Record::default();
        let mut seen = Vec::new();
        loop {
            let what = match records.next(&mut record, width).unwrap() {
                Found::End => return seen,
                Found::TooLong => "long".to_owned(),
                Found::OpenQuote => "open".to_owned(),
                Found::Record => {
                    let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
                    fields.join("|")
                }
            };
            seen.push(format!("{}: {what}", record.line));
        }
    }

    #[test]
    fn records_are_split_and_blank_lines_skipped() {
        let text = b"a,b\r\n\r\n\n1,\"x, \"\"y\"\"\"\n2,\n\"3\",\"two\nlines\"\n4,5\" tall";
        let expected = ["1: a|b", "4: 1|x, \"y\"", "5: 2|", "6: 3|two\nlines", "8: 4|5\" tall"];
        assert_eq!(read(text, COMMA, 2), expected);
        let plain = Dialect { delimiter: b';', quote: None };
        assert_eq!(read(b"\"a;b\n1;2", plain, 2), ["1: \"a|b", "2: 1|2"]);
        assert!(read(b"", COMMA, 0).is_empty());
    }

    #[test]
    fn an_open_quote_costs_one_line() {
        let text = b"a,b\n1,\"x\n2,y\n3,\"z\"\n4,w\n\"5,v\n6,u\n";
        let expected = ["1: a|b", "2: open", "3: 2|y", "4: 3|z", "5: 4|w", "6: open", "7: 6|u"];
        assert_eq!(read(text, COMMA, 2), expected);
    }

    #[test]
    fn a_line_beyond_the_limit_costs_one_line() {
        let mut text = b"a,b\n\"1,x\n".to_vec();
        text.extend(std::iter::repeat_n(b'7', RECORD_BYTES_MAX + 5));
        text.extend(b"\n2,y\n");
        assert_eq!(read(&text, COMMA, 2), ["1: a|b", "2: open", "3: long", "4: 2|y"]);
    }

    #[test]
    fn nothing_but_open_quotes_ends_in_time() {
        let lines = 400_000;
        let text = b"x\"y,\"z\n".repeat(lines);
        assert_eq!(read(&text, COMMA, 2).len(), lines);
    }

    proptest! {
        #[test]
        fn what_a_writer_wrote_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a-c,\"\r\n ]{0,6}", 3), 0..8),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let seen: Vec<String> = read(&text, COMMA, 3);
            let seen: Vec<&str> = seen.iter().filter_map(|s| Some(s.split_once(": ")?.1)).collect();
            let expected: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn every_line_is_accounted_for(text in "[a,\"\n\r]{0,60}", width in 0_usize..4) {
            let lines = text.split_inclusive('\n').count() as u64;
            let mut records = Records::new(text.as_bytes(), COMMA);
            let mut record = Record::default();
            while records.next(&mut record, width).unwrap() != Found::End {}
            prop_assert_eq!(records.lines_read(), lines);
        }
    }
}
