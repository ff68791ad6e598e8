//! Bodies without what no view needs: one pass over the bytes of JSON, which copies what stays.
//!
//! ```text
//! {"id":1,"email":"a@b.c","customer":{"id":7,"first_name":"A"}}
//! {"id":1,"email":null,"customer":{"id":4611686018427387999,"first_name":null}}
//! ```
//!
//! Invariant: what stays, stays byte for byte: numbers, white space, order and repetition of
//! members. What is no JSON before is none after, for it is not touched at all.

use std::borrow::Cow;

use super::scan::{Broken, Scanner};
use super::table::{HASH_BASIS, Kind, Room, Rule, Rules, hashed, same};

/// What an id is called in the state; `None` if it must not be known there.
pub type Naming<'n> = dyn FnMut(Kind, &str) -> Option<u64> + 'n;

/// The longest id that has a pseudonym; platforms give none so long.
const ID_BYTES_MAX: usize = 512;
/// How deep a value is looked into; what stands deeper is in no place of a body that any reader
/// goes to, and goes.
pub const DEPTH_MAX: usize = 100;
/// Documents inside texts inside documents.
const DOCUMENTS_MAX: usize = 4;

/// A body after what the rules take out of it. Several documents may stand one after another.
///
/// # Errors
/// A body that is no JSON.
pub fn minimise<'a>(
    body: &'a [u8],
    rules: &Rules,
    naming: &mut Naming<'_>,
) -> Result<Cow<'a, [u8]>, Broken> {
    let text = std::str::from_utf8(body).map_err(|_| Broken)?;
    let documents = 0;
    let mut minimiser = Minimiser::new(text, Surroundings { rules, naming, documents });
    minimiser.documents(rules.root())?;
    Ok(minimiser.finish())
}

struct Surroundings<'s, 'n> {
    rules: &'s Rules,
    naming: &'s mut Naming<'n>,
    /// How many documents this one stands in.
    documents: usize,
}

struct Minimiser<'a, 's, 'n> {
    text: &'a str,
    scanner: Scanner<'a>,
    around: Surroundings<'s, 'n>,
    out: Vec<u8>,
    /// Up to where the text is in `out`.
    copied: usize,
}

impl<'a, 's, 'n> Minimiser<'a, 's, 'n> {
    fn new(text: &'a str, around: Surroundings<'s, 'n>) -> Self {
        let scanner = Scanner::new(text.as_bytes());
        Self { text, scanner, around, out: Vec::new(), copied: 0 }
    }

    fn finish(mut self) -> Cow<'a, [u8]> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text.as_bytes());
        }
        self.out.extend_from_slice(&self.text.as_bytes()[self.copied..]);
        Cow::Owned(self.out)
    }

    fn documents(&mut self, room: Room) -> Result<(), Broken> {
        self.scanner.space();
        loop {
            self.value(room, 0)?;
            let end = self.scanner.at();
            self.scanner.space();
            if self.scanner.ended() {
                return Ok(());
            }
            // Two that touch, such as `01`, are none.
            if self.scanner.at() == end {
                return Err(Broken);
            }
        }
    }

    /// A value that stays, but for what is inside it.
    fn value(&mut self, room: Room, depth: usize) -> Result<(), Broken> {
        match self.scanner.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => self.drop_value(),
            Some(b'{') => self.object(room, depth),
            Some(b'[') => self.elements(room, depth, Rule::Look),
            Some(b'"') if self.scanner.wraps() => self.document(room, false),
            _ => self.scanner.scalar(),
        }
    }

    /// A list, to each element of which a rule applies.
    fn elements(&mut self, room: Room, depth: usize, rule: Rule) -> Result<(), Broken> {
        self.scanner.open(b'[')?;
        if self.scanner.closed(b']') {
            return Ok(());
        }
        loop {
            self.scanner.space();
            self.ruled((rule, room), depth + 1)?;
            if !self.scanner.more(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, room: Room, depth: usize) -> Result<(), Broken> {
        self.scanner.open(b'{')?;
        if self.scanner.closed(b'}') {
            return Ok(());
        }
        loop {
            self.scanner.space();
            let rule = self.name(room)?;
            self.scanner.space();
            self.scanner.take(b':')?;
            self.scanner.space();
            self.ruled(rule, depth + 1)?;
            if !self.scanner.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads a member's name, and gives what is to be done with its value.
    fn name(&mut self, room: Room) -> Result<(Rule, Room), Broken> {
        let start = self.scanner.at();
        let hash = self.scanner.key(HASH_BASIS, hashed)?;
        let quoted = &self.text[start..self.scanner.at()];
        let rules = self.around.rules;
        let (rule, opens) = match hash {
            Some(hash) => {
                let name = &quoted.as_bytes()[1..quoted.len() - 1];
                rules.rule(hash, room, |line| same(name, line))
            }
            // With escapes in it; a name is no less a name for that.
            None => {
                let name: String = serde_json::from_str(quoted).unwrap_or_default();
                let hash = name.bytes().fold(HASH_BASIS, hashed);
                rules.rule(hash, room, |line| same(name.as_bytes(), line))
            }
        };
        let wrapper = matches!(quoted, r#""nodes""# | r#""edges""# | r#""node""#);
        let stays = wrapper && (rule, opens) == (Rule::Look, Room::Plain);
        Ok(if stays { (rule, room) } else { (rule, opens) })
    }

    fn ruled(&mut self, (rule, opens): (Rule, Room), depth: usize) -> Result<(), Broken> {
        let first = self.scanner.peek();
        match (rule, first) {
            (Rule::Look, _) => self.value(opens, depth),
            // Nothing is taken out where nothing is.
            (_, Some(b'n' | b't' | b'f')) if rule != Rule::Drop => self.scanner.scalar(),
            (_, Some(b'n')) => self.scanner.scalar(),
            (Rule::Id(_), Some(b'{')) if opens != Room::Plain => self.value(opens, depth),
            (Rule::Id(_) | Rule::Gid(_), Some(b'[')) if depth < DEPTH_MAX => {
                self.elements(opens, depth, rule)
            }
            (Rule::Id(kind), Some(b'"' | b'-' | b'0'..=b'9')) => self.id(kind, false),
            (Rule::Gid(kind), Some(b'"' | b'0'..=b'9')) => self.id(kind, true),
            (Rule::Document, Some(b'"')) => self.document(opens, true),
            (Rule::Document, _) => self.value(opens, depth),
            _ => self.drop_value(),
        }
    }

    fn drop_value(&mut self) -> Result<(), Broken> {
        let start = self.scanner.at();
        self.scanner.skip()?;
        self.replace(start, b"null");
        Ok(())
    }

    /// Puts bytes in the place of what was read since `start`.
    fn replace(&mut self, start: usize, bytes: &[u8]) {
        self.out.extend_from_slice(&self.text.as_bytes()[self.copied..start]);
        self.out.extend_from_slice(bytes);
        self.copied = self.scanner.at();
    }

    /// Puts a pseudonym in the place of an id, in the form the id has.
    fn id(&mut self, kind: Kind, global_only: bool) -> Result<(), Broken> {
        let start = self.scanner.at();
        self.scanner.scalar()?;
        let raw = &self.text[start..self.scanner.at()];
        if !raw.starts_with('"') {
            // A number below zero, with a point or with an exponent is no id.
            let digits = raw.bytes().all(|byte| byte.is_ascii_digit());
            let name = if digits { (self.around.naming)(kind, raw) } else { None };
            let put = name.map_or_else(|| "null".to_owned(), |name| name.to_string());
            self.replace(start, put.as_bytes());
            return Ok(());
        }
        // What is no text, for half of a pair stands in it, is no id.
        let Ok(text) = serde_json::from_str::<String>(raw) else {
            self.replace(start, b"null");
            return Ok(());
        };
        let text = text.trim();
        let (lead, id, tail) = match global(text) {
            Some(parts) => parts,
            None if global_only || text.len() > ID_BYTES_MAX => {
                self.replace(start, b"null");
                return Ok(());
            }
            None => ("", text, ""),
        };
        if !id.is_empty() {
            let name = (self.around.naming)(kind, id);
            let put = name.map(|name| serde_json::Value::from(format!("{lead}{name}{tail}")));
            self.replace(start, put.unwrap_or_default().to_string().as_bytes());
        }
        Ok(())
    }

    /// A text that is a document is minimised as one, and any other stays; but one that a reader
    /// would take for a document goes when it is broken.
    fn document(&mut self, room: Room, read: bool) -> Result<(), Broken> {
        let start = self.scanner.at();
        self.scanner.scalar()?;
        let raw = &self.text[start..self.scanner.at()];
        let Ok(inner) = serde_json::from_str::<String>(raw) else {
            if read {
                self.replace(start, b"null");
            }
            return Ok(());
        };
        let documents = self.around.documents + 1;
        if !inner.trim_start().starts_with(['{', '[']) {
            return Ok(());
        }
        // Nobody reads so deep, and what is not looked into does not stay.
        if documents > DOCUMENTS_MAX {
            self.replace(start, b"null");
            return Ok(());
        }
        let Surroundings { rules, naming, .. } = &mut self.around;
        let mut minimiser = Minimiser::new(&inner, Surroundings { rules, naming, documents });
        let minimised = minimiser.documents(room).map(|()| minimiser.finish());
        let Ok(minimised) = minimised else {
            if read {
                self.replace(start, b"null");
            }
            return Ok(());
        };
        if let Cow::Owned(bytes) = minimised {
            let text = String::from_utf8(bytes).map_err(|_| Broken)?;
            self.replace(start, serde_json::Value::from(text).to_string().as_bytes());
        }
        Ok(())
    }
}

/// The parts of a global id: what is before its digits, the digits, and what is behind them.
pub(super) fn global(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.strip_prefix("gid://")?.rfind('/')? + "gid:///".len();
    let (lead, rest) = text.split_at(at);
    let end = rest.find('?').unwrap_or(rest.len());
    let (id, tail) = rest.split_at(end);
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some((lead, id, tail))
}
