//! Where one JSON document ends and the next begins, in a stream of any size.
//!
//! Invariant: memory holds one document; every byte that is not white space between documents
//! belongs to a document or to a piece that is reported as broken.
//!
//! The elements of a top-level list are documents of their own, so that a dump of a whole shop
//! needs no more memory than its largest order, and one broken element is one fault.
//!
//! ```text
//! between ──{──▶ inside ──}──▶ whole document
//!    ▲             │ a line starts with { or [ at column 0, or ends inside a string
//!    │             ▼
//!    └────────── broken ──▶ skipping, where it was pretty-printed, to the next such line
//! ```

use std::io::{self, BufRead};

/// The longest document that is read.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A document whose brackets balance, and the line it starts on.
    Whole(u64, Vec<u8>),
    /// Something that is no document, the line it starts on, and what is wrong with it.
    Broken(u64, &'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before a document.
    Between,
    /// In a document.
    Inside,
    /// In something that starts no document, up to the end of its line.
    Garbage,
    /// After something broken, before a line that can start a document.
    Skipping,
}

/// Splits a stream into pieces.
pub struct Frames<R> {
    reader: R,
    state: State,
    document: Document,
    /// The line being read, from 1, and how many bytes were read before it and of it.
    line: u64,
    bytes: u64,
    column: u64,
    /// Whether a top-level list is open, and since which line.
    list: Option<u64>,
    /// Whether anything was read inside the open list.
    filled: bool,
    /// After something broken, stray list punctuation is part of it.
    forgiving: bool,
    done: bool,
}

/// The document being collected.
#[derive(Default)]
struct Document {
    text: Vec<u8>,
    line: u64,
    depth: u64,
    string: bool,
    escaped: bool,
    /// The last byte that was not white space.
    last: u8,
    /// Whether a later line was indented; whether the first was a lone bracket.
    indented: bool,
    lone: bool,
    oversize: bool,
    /// Whether this is garbage behind something else on its line.
    trailing: bool,
}

impl<R: BufRead> Frames<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            state: State::Between,
            document: Document::default(),
            line: 1,
            bytes: 0,
            column: 0,
            list: None,
            filled: false,
            forgiving: false,
            done: false,
        }
    }

    /// The line and the number of bytes read so far.
    pub fn position(&self) -> (u64, u64) {
        (self.line, self.bytes)
    }

    /// The next piece, or `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        while !self.done {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            };
            if buffer.is_empty() {
                self.done = true;
                return Ok(self.end());
            }
            // The bytes are copied out so that the state can change while they are looked at; a
            // chunk is small and stays in the cache.
            let chunk: Vec<u8> = buffer.iter().take(CHUNK).copied().collect();
            let mut used = 0;
            let mut found = None;
            for &byte in &chunk {
                let (consumed, piece) = self.step(byte);
                used += usize::from(consumed);
                if piece.is_some() {
                    found = piece;
                    break;
                }
            }
            self.reader.consume(used);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Looks at one byte; says whether it was consumed and what it completed.
    fn step(&mut self, byte: u8) -> (bool, Option<Piece>) {
        let first = self.column == 0;
        let opens = matches!(byte, b'{' | b'[');
        if first && opens && self.state == State::Inside && self.document.cut_off_before() {
            return (false, Some(self.broken("cut off before its end")));
        }
        self.column += 1;
        self.bytes += 1;
        // A byte order mark at the very start says nothing.
        let mark = self.line == 1 && self.bytes <= 3 && matches!(byte, 0xEF | 0xBB | 0xBF);
        let piece = match self.state {
            _ if mark && self.state == State::Between => None,
            State::Skipping if first && !continues(byte) => self.between(byte),
            State::Skipping => None,
            State::Between => self.between(byte),
            State::Inside => self.inside(byte, first),
            State::Garbage => {
                (byte == b'\n').then(|| self.broken("neither an object nor a list of objects"))
            }
        };
        if byte == b'\n' {
            self.line += 1;
            self.column = 0;
        }
        (true, piece)
    }

    fn between(&mut self, byte: u8) -> Option<Piece> {
        self.state = State::Between;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'[' if self.list.is_none() => {
                self.list = Some(self.line);
                self.filled = false;
            }
            b',' if self.list.is_some() || self.forgiving => {}
            b']' if self.list.is_some() || self.forgiving => {
                let empty = self.list.take().filter(|_| !self.filled);
                return empty.map(|line| Piece::Whole(line, b"[]".to_vec()));
            }
            b'{' | b'[' => {
                self.filled = true;
                self.state = State::Inside;
                self.document = Document { line: self.line, lone: true, ..Document::default() };
                return self.inside(byte, false);
            }
            _ => {
                self.filled = true;
                self.state = State::Garbage;
                let trailing = self.column > 1;
                self.document = Document { line: self.line, trailing, ..Document::default() };
            }
        }
        None
    }

    fn inside(&mut self, byte: u8, first: bool) -> Option<Piece> {
        let document = &mut self.document;
        if byte == b'\n' && document.string {
            return Some(self.broken("cut off inside a string"));
        }
        document.indented |= first && matches!(byte, b' ' | b'\t');
        document.see(byte);
        document.lone &= self.line > document.line || document.text.len() < 2 || blank(byte);
        if document.depth > 0 {
            return None;
        }
        self.state = State::Between;
        let Document { text, line, oversize, .. } = std::mem::take(&mut self.document);
        if oversize {
            return Some(Piece::Broken(line, TOO_LONG));
        }
        self.forgiving &= self.list.is_some();
        Some(Piece::Whole(line, text))
    }

    /// Reports the piece at hand, and looks for the next one.
    fn broken(&mut self, why: &'static str) -> Piece {
        let Document { line, oversize, trailing, .. } = std::mem::take(&mut self.document);
        // What follows a piece of several lines on indented ones is the rest of it.
        let goes_on = self.line > line || trailing;
        self.state = if goes_on { State::Skipping } else { State::Between };
        self.forgiving = true;
        Piece::Broken(line, if oversize { TOO_LONG } else { why })
    }

    fn end(&mut self) -> Option<Piece> {
        match self.state {
            State::Inside => Some(self.broken("cut off before its end")),
            State::Garbage => Some(self.broken("neither an object nor a list of objects")),
            _ => self.list.take().map(|line| Piece::Broken(line, "a list that is never closed")),
        }
    }
}

const TOO_LONG: &str = "longer than 32 MiB";

/// How many bytes are looked at between two looks at the reader.
const CHUNK: usize = 16 << 10;

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a line that starts so goes on with what was broken before it.
fn continues(byte: u8) -> bool {
    blank(byte) || matches!(byte, b'}' | b']' | b',')
}

impl Document {
    /// Takes in a byte and follows the brackets outside strings.
    fn see(&mut self, byte: u8) {
        if self.text.len() < DOCUMENT_BYTES_MAX {
            self.text.push(byte);
        } else {
            self.oversize = true;
            self.text.truncate(1);
        }
        if self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if !blank(byte) {
            self.last = byte;
        }
    }

    /// Whether a line that starts with a bracket cannot belong to this document.
    ///
    /// It can only where nothing is ever indented and a value is due: JSON printed with line
    /// breaks but no indentation.
    fn cut_off_before(&self) -> bool {
        let due = matches!(self.last, b',' | b'[' | b':');
        let unindented = self.lone && !self.indented;
        !unindented || !due || self.string
    }
}
