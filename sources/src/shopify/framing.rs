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

use crate::draft::CUT_BYTES;

/// The longest document that is read.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A document whose brackets balance, and the line it starts on.
    Whole(u64, Vec<u8>),
    /// Something that is no document.
    Broken(Broken),
}

/// A piece that is no document.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line it starts on.
    pub line: u64,
    /// What is wrong with it.
    pub why: &'static str,
    /// The piece as it came, with the lines that were skipped behind it.
    pub text: Vec<u8>,
    /// Whether it was too long, and `text` is only its beginning.
    pub cut: bool,
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
    /// The broken piece whose rest is being skipped.
    held: Option<Broken>,
    /// Why there is no more, to be told after the piece that was held.
    failed: Option<io::Error>,
    done: bool,
}

/// The document being collected.
#[derive(Default)]
struct Document {
    text: Vec<u8>,
    line: u64,
    nesting: Nesting,
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
            held: None,
            failed: None,
            done: false,
        }
    }

    /// The line and the number of bytes read so far.
    pub fn position(&self) -> (u64, u64) {
        (self.line, self.bytes)
    }

    /// The next piece, or `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while !self.done {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.done = true;
                    let Some(held) = self.held.take() else { return Err(error) };
                    self.failed = Some(error);
                    return Ok(Some(Piece::Broken(held)));
                }
            };
            if buffer.is_empty() {
                if let Some(held) = self.held.take() {
                    return Ok(Some(Piece::Broken(held)));
                }
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
            return (false, Some(Piece::Broken(self.broken(CUT_OFF))));
        }
        if first && self.state == State::Skipping && !continues(byte) {
            self.state = State::Between;
            if let Some(held) = self.held.take() {
                return (false, Some(Piece::Broken(held)));
            }
        }
        self.column += 1;
        self.bytes += 1;
        // A byte order mark at the very start says nothing.
        let mark = self.line == 1 && self.bytes <= 3 && matches!(byte, 0xEF | 0xBB | 0xBF);
        let piece = match self.state {
            _ if mark && self.state == State::Between => None,
            State::Skipping => {
                if let Some(Broken { text, cut, .. }) = &mut self.held {
                    keep(byte, text, cut);
                }
                None
            }
            State::Between => self.between(byte),
            State::Inside => self.inside(byte, first),
            State::Garbage => {
                keep(byte, &mut self.document.text, &mut self.document.oversize);
                if byte == b'\n' { self.hold(NO_START) } else { None }
            }
        };
        if byte == b'\n' {
            self.line += 1;
            self.column = 0;
        }
        (true, piece)
    }

    fn between(&mut self, byte: u8) -> Option<Piece> {
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
                let text = vec![byte];
                self.document = Document { line: self.line, trailing, text, ..Document::default() };
            }
        }
        None
    }

    fn inside(&mut self, byte: u8, first: bool) -> Option<Piece> {
        let document = &mut self.document;
        if byte == b'\n' && document.nesting.string {
            document.see(byte);
            return self.hold(IN_A_STRING);
        }
        document.indented |= first && matches!(byte, b' ' | b'\t');
        document.see(byte);
        document.lone &= self.line > document.line || document.text.len() < 2 || blank(byte);
        if document.nesting.depth > 0 {
            return None;
        }
        self.state = State::Between;
        let Document { text, line, oversize, .. } = std::mem::take(&mut self.document);
        if oversize {
            return Some(Piece::Broken(Broken { line, why: TOO_LONG, text, cut: true }));
        }
        self.forgiving &= self.list.is_some();
        Some(Piece::Whole(line, text))
    }

    /// Ends the piece at hand as broken, and looks for the next one.
    fn broken(&mut self, why: &'static str) -> Broken {
        let inside = self.state == State::Inside;
        let Document { text, line, oversize, trailing, .. } = std::mem::take(&mut self.document);
        // What follows a piece of several lines on indented ones is the rest of it.
        let goes_on = self.line > line || trailing;
        self.state = if goes_on { State::Skipping } else { State::Between };
        self.forgiving = true;
        let why = if oversize && inside { TOO_LONG } else { why };
        Broken { line, why, text, cut: oversize }
    }

    /// Reports a broken piece, once the rest of it was seen.
    fn hold(&mut self, why: &'static str) -> Option<Piece> {
        let broken = self.broken(why);
        if self.state == State::Skipping {
            self.held = Some(broken);
            return None;
        }
        Some(Piece::Broken(broken))
    }

    fn end(&mut self) -> Option<Piece> {
        match self.state {
            State::Inside => {
                let why = if self.document.text == b"[" { NEVER_CLOSED } else { CUT_OFF };
                Some(Piece::Broken(self.broken(why)))
            }
            State::Garbage => Some(Piece::Broken(self.broken(NO_START))),
            _ => self.list.take().map(|line| {
                let (why, text) = (NEVER_CLOSED, b"[".to_vec());
                Piece::Broken(Broken { line, why, text, cut: false })
            }),
        }
    }
}

/// What is wrong with a piece that was once given out, if it is no document.
///
/// # Errors
/// The reason it was, or would have been, reported as broken.
pub fn whole(text: &[u8]) -> Result<(), &'static str> {
    if text == b"[" {
        return Err(NEVER_CLOSED);
    }
    if !text.starts_with(b"{") && !text.starts_with(b"[") {
        return Err(NO_START);
    }
    let mut nesting = Nesting::default();
    for &byte in text {
        if byte == b'\n' && nesting.string {
            return Err(IN_A_STRING);
        }
        nesting.see(byte);
        if nesting.depth == 0 {
            return Ok(());
        }
    }
    Err(CUT_OFF)
}

const CUT_OFF: &str = "cut off before its end";
const IN_A_STRING: &str = "cut off inside a string";
const NO_START: &str = "neither an object nor a list of objects";
const NEVER_CLOSED: &str = "a list that is never closed";
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
        keep(byte, &mut self.text, &mut self.oversize);
        self.nesting.see(byte);
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
        !unindented || !due || self.nesting.string
    }
}

/// How deep the brackets are, outside strings.
#[derive(Default)]
struct Nesting {
    depth: u64,
    string: bool,
    escaped: bool,
}

impl Nesting {
    fn see(&mut self, byte: u8) {
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
    }
}

/// Adds a byte to a text, unless it is too long; then only its beginning stays.
fn keep(byte: u8, text: &mut Vec<u8>, cut: &mut bool) {
    if text.len() < DOCUMENT_BYTES_MAX && !*cut {
        text.push(byte);
    } else if !*cut {
        *cut = true;
        text.truncate(CUT_BYTES);
        text.shrink_to_fit();
    }
}
