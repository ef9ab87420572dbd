//! Divides SQL into tokens, as far as cutting it into statements needs.
//!
//! Promises: tokens follow each other, do not overlap, and begin and end at characters; between
//! them are blanks and comments only. Everything an engine would take as the inside of a string,
//! an identifier or a comment is inside here too.
//!
//! Surprising: PostgreSQL is read with `standard_conforming_strings` on, its default since 9.1.
//! Numbers and operators are not recognised: each of their characters is a token of its own.

use crate::engine::Engine;

/// What a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A key word or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Quoted,
    /// A string, in whatever quotes.
    Text,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// Any other character.
    Other,
}

/// A token: its kind, and the bytes that it takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Something that opens and never ends.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Unclosed {
    /// The byte where it opens.
    pub(super) start: usize,
    /// What it is, for messages.
    pub(super) what: &'static str,
    /// What would close it.
    pub(super) end: String,
}

/// All tokens of a text, or those before the first thing that is not closed.
pub(super) fn tokens(engine: Engine, text: &str) -> (Vec<Token>, Option<Unclosed>) {
    let mut lexer = Lexer { engine, text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok(Some(token)) => tokens.push(token),
            Ok(None) => return (tokens, None),
            Err(unclosed) => return (tokens, Some(unclosed)),
        }
    }
}

struct Lexer<'t> {
    engine: Engine,
    text: &'t str,
    at: usize,
}

/// Both engines take every character beyond ASCII as a letter.
const fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, Unclosed> {
        self.skip_blanks_and_comments()?;
        let start = self.at;
        let Some(byte) = self.byte(0) else { return Ok(None) };
        let kind = match (byte, self.engine) {
            (b';', _) => self.one(Kind::Semicolon),
            (b'(', _) => self.one(Kind::Open),
            (b')', _) => self.one(Kind::Close),
            (b'\'', _) => self.quoted(b'\'', false, start)?,
            (b'"', _) => self.quoted(b'"', false, start)?,
            (b'`', Engine::Sqlite) => self.quoted(b'`', false, start)?,
            (b'[', Engine::Sqlite) => {
                self.through("]", 1, "quoted identifier")?;
                Kind::Quoted
            }
            (b'$', Engine::Postgres) => self.dollar()?,
            (byte, _) if starts_word(byte) => self.word()?,
            _ => self.one(Kind::Other),
        };
        Ok(Some(Token { kind, start, end: self.at }))
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn one(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), Unclosed> {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0xb | 0xc), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => match self.engine {
                    Engine::Postgres => self.nested_comment()?,
                    Engine::Sqlite => self.through("*/", 2, "comment")?,
                },
                _ => return Ok(()),
            }
        }
    }

    /// To the end of the line. To PostgreSQL a lone carriage return is one, to SQLite it is not.
    fn skip_line(&mut self) {
        let ends: &[u8] = match self.engine {
            Engine::Postgres => b"\n\r",
            Engine::Sqlite => b"\n",
        };
        while self.byte(0).is_some_and(|byte| !ends.contains(&byte)) {
            self.at += 1;
        }
    }

    fn nested_comment(&mut self) -> Result<(), Unclosed> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => {
                    return Err(Unclosed { start, what: "comment", end: "*/".to_owned() });
                }
            }
        }
    }

    /// Past the first `end` that is at least `skip` bytes further.
    fn through(&mut self, end: &str, skip: usize, what: &'static str) -> Result<(), Unclosed> {
        let start = self.at;
        let body = start + skip;
        match self.text[body..].find(end) {
            Some(length) => self.at = body + length + end.len(),
            None => return Err(Unclosed { start, what, end: end.to_owned() }),
        }
        Ok(())
    }

    /// From a quote past its closing one; a doubled one stands for itself. `start` is where the
    /// token begins: before the quote if there is a prefix.
    fn quoted(&mut self, quote: u8, escapes: bool, start: usize) -> Result<Kind, Unclosed> {
        let (kind, what) = match quote {
            b'\'' => (Kind::Text, "string"),
            _ => (Kind::Quoted, "quoted identifier"),
        };
        self.at += 1;
        loop {
            match self.byte(0) {
                None => {
                    return Err(Unclosed { start, what, end: char::from(quote).to_string() });
                }
                Some(b'\\') if escapes => self.at += 2,
                Some(byte) if byte == quote && self.byte(1) == Some(quote) => self.at += 2,
                Some(byte) if byte == quote => return Ok(self.one(kind)),
                Some(_) => self.at += 1,
            }
        }
    }

    /// `E'…'` with backslash escapes. A string that follows on another line continues it, with
    /// escapes still.
    fn escape_string(&mut self, start: usize) -> Result<Kind, Unclosed> {
        loop {
            self.quoted(b'\'', true, start)?;
            let end = self.at;
            let mut new_line = false;
            loop {
                match (self.byte(0), self.byte(1)) {
                    (Some(b'\n' | b'\r'), _) => {
                        new_line = true;
                        self.at += 1;
                    }
                    (Some(b' ' | b'\t' | 0xb | 0xc), _) => self.at += 1,
                    (Some(b'-'), Some(b'-')) => self.skip_line(),
                    _ => break,
                }
            }
            if !new_line || self.byte(0) != Some(b'\'') {
                self.at = end;
                return Ok(Kind::Text);
            }
        }
    }

    /// A word, or the string that the word `E` is the prefix of. The other prefixes (`B X N U&`)
    /// change nothing about where a string ends.
    fn word(&mut self) -> Result<Kind, Unclosed> {
        let start = self.at;
        while self.byte(0).is_some_and(|b| starts_word(b) || b.is_ascii_digit() || b == b'$') {
            self.at += 1;
        }
        let escapes = self.engine == Engine::Postgres
            && self.byte(0) == Some(b'\'')
            && self.text[start..self.at].eq_ignore_ascii_case("e");
        if escapes { self.escape_string(start) } else { Ok(Kind::Word) }
    }

    /// `$tag$…$tag$`, a parameter (`$1`), or a lone `$`.
    fn dollar(&mut self) -> Result<Kind, Unclosed> {
        let start = self.at;
        self.at += 1;
        if self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
            return Ok(Kind::Other);
        }
        let rest = &self.text[self.at..];
        let part_of_tag = |byte: u8| starts_word(byte) || byte.is_ascii_digit();
        let Some(length) = rest.bytes().position(|byte| !part_of_tag(byte)) else {
            return Ok(Kind::Other);
        };
        if rest.as_bytes()[length] != b'$' {
            return Ok(Kind::Other);
        }
        let tag = &self.text[start..=self.at + length];
        self.at = start;
        self.through(tag, tag.len(), "dollar-quoted string")?;
        Ok(Kind::Text)
    }
}
