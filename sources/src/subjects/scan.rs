//! The grammar of JSON, read strictly and without a copy.
//!
//! Invariant: never reads past the end, and takes what the readers take when they skip a value,
//! neither more nor less. The text is UTF-8 already.

/// The bytes are no JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// A place in a text.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The beginning of a text.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte, which stays the next.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Whether nothing is left.
    pub(super) fn ended(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Takes white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes one byte that must be there.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }

    /// Takes the bracket that opens, and the space behind it.
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), Broken> {
        self.take(bracket)?;
        self.space();
        Ok(())
    }

    /// Takes the bracket that closes, if it is next.
    pub(super) fn closed(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// Takes a comma, or the bracket that closes; whether another element follows.
    #[inline]
    pub(super) fn more(&mut self, bracket: u8) -> Result<bool, Broken> {
        self.space();
        if self.closed(bracket) {
            return Ok(false);
        }
        self.take(b',').map(|()| true)
    }

    /// Takes a member's name with its quotes, and folds its bytes; nothing where it has escapes.
    #[inline]
    pub(super) fn key<T: Copy>(
        &mut self,
        empty: T,
        fold: impl Fn(T, u8) -> T,
    ) -> Result<Option<T>, Broken> {
        let start = self.at;
        self.take(b'"')?;
        let mut folded = empty;
        loop {
            let byte = self.peek().ok_or(Broken)?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(Some(folded));
                }
                b'\\' => {
                    self.at = start;
                    return self.text().map(|()| None);
                }
                0..0x20 => return Err(Broken),
                _ => folded = fold(folded, byte),
            }
            self.at += 1;
        }
    }

    /// Takes a value that is no object and no list.
    pub(super) fn scalar(&mut self) -> Result<(), Broken> {
        match self.peek().ok_or(Broken)? {
            b'"' => self.text(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// Whether a text is next that begins as an object or a list does.
    pub(super) fn wraps(&self) -> bool {
        let mut rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        loop {
            rest = match rest {
                [b' ', rest @ ..] | [b'\\', b'n' | b'r' | b't', rest @ ..] => rest,
                _ => return matches!(rest.first(), Some(b'{' | b'[')),
            }
        }
    }

    /// Takes any value and everything in it, however deep: a list of brackets and no recursion.
    pub(super) fn skip(&mut self) -> Result<(), Broken> {
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.open(bracket)?;
                    // `]` and `}` stand two behind their openings.
                    if !self.closed(bracket + 2) {
                        open.push(bracket);
                        self.member(bracket)?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            loop {
                let Some(&bracket) = open.last() else { return Ok(()) };
                if self.more(bracket + 2)? {
                    self.member(bracket)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// Takes what is before a value: in an object its name.
    fn member(&mut self, bracket: u8) -> Result<(), Broken> {
        self.space();
        if bracket == b'{' {
            self.text()?;
            self.space();
            self.take(b':')?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Broken> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Broken);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Broken> {
        self.closed(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.closed(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Broken) } else { Ok(()) }
    }

    /// Takes a text with its quotes.
    fn text(&mut self) -> Result<(), Broken> {
        self.take(b'"')?;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.peek().ok_or(Broken)? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err(Broken),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        let escaped = *self.bytes.get(self.at + 1).ok_or(Broken)?;
        self.at += 2;
        match escaped {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => self.unit(),
            _ => Err(Broken),
        }
    }

    /// Four digits; halves of pairs without the other are let be, as readers skip them.
    fn unit(&mut self) -> Result<(), Broken> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Broken)?;
        self.at += 4;
        if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(Broken) }
    }
}

/// How many bytes go before the first quote, backslash or control character; eight at a time.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The lowest bit that is set is exact; those above it may be carried.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let escape = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = quote | escape | control;
        if found != 0 {
            return number * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let tail = rest.iter().position(special).unwrap_or(rest.len());
    words.len() * 8 + tail
}
