//! Cuts SQL into statements, as the engine itself would.
//!
//! Promises: the pieces partition the text; whatever stands between two statements belongs to the
//! second one. A statement is given without it: from its first token to its last, less the
//! semicolon, with the place of its first token in the file.
//!
//! Surprising: where bodies may hold semicolons, their end needs no parser. An `END` that directly
//! follows a semicolon closes the body of a trigger (SQLite) or of a function (`BEGIN ATOMIC`);
//! the `END` of a `CASE` never does. This is `sqlite3_complete`'s rule, and the grammar of
//! PostgreSQL, which keeps `END` as a statement out of such bodies, allows it too.

use std::{borrow::Cow, ops::Range};

use super::{
    fault::ScriptFaultKind,
    lexer::{self, Kind, Token, Unclosed},
};
use crate::engine::Engine;

/// The length at which PostgreSQL cuts identifiers, in bytes.
pub(super) const LONGEST_IDENTIFIER: usize = 63;

/// One statement of a script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// From its first token to its last, without the semicolon.
    pub text: String,
    /// The line of its first token in the file, counted from 1.
    pub line: usize,
    /// The column of its first token, in characters, counted from 1.
    pub column: usize,
    /// Its tokens, by bytes of `text`; at least one.
    pub(super) tokens: Vec<Token>,
}

/// The index that a `CREATE INDEX CONCURRENTLY` builds: what is left, invalid, if it fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConcurrentIndex {
    /// The name of the index.
    pub name: String,
    /// The schema of its table, and so its own; `None` leaves it to the search path.
    pub schema: Option<String>,
    /// The name of its table.
    pub table: String,
}

impl Statement {
    /// Its leading words, at most `n`, in upper case, with no regard to comments.
    ///
    /// Ends before the first token that is no bare word: `REINDEX (VERBOSE) TABLE t` has one.
    #[must_use]
    pub fn words(&self, n: usize) -> Vec<String> {
        let words = self.tokens.iter().take_while(|token| token.kind == Kind::Word);
        words.take(n).map(|token| self.slice(token).to_ascii_uppercase()).collect()
    }

    /// Whether it changes nothing but its session: `SET`, `RESET`, SQLite's `PRAGMA`.
    #[must_use]
    pub fn is_a_setting(&self) -> bool {
        let words = self.words(1);
        words.first().is_some_and(|word| matches!(word.as_str(), "SET" | "RESET" | "PRAGMA"))
    }

    /// The line and column in the file of a character of `text`, given as PostgreSQL gives the
    /// position of an error: in characters, counted from 1. Beyond the end, that of the end.
    #[must_use]
    pub fn position(&self, offset_chars: usize) -> (usize, usize) {
        let before = self.text.chars().take(offset_chars.saturating_sub(1));
        before.fold((self.line, self.column), after)
    }

    /// Its text for the program of the engine, which must make nothing else of it: psql takes a
    /// name or a quote right behind a colon (`list[1:n]`) for a variable, but none behind a blank.
    #[must_use]
    pub fn piped(&self, engine: Engine) -> Cow<'_, str> {
        let mut text = String::new();
        let mut at = 0;
        for pair in self.tokens.windows(2) {
            let [colon, name] = pair else { continue };
            // Of the two colons of a cast psql takes neither.
            if engine == Engine::Postgres
                && self.slice(colon) == ":"
                && colon.end == name.start
                && matches!(name.kind, Kind::Word | Kind::Quoted | Kind::Text)
                && !self.text[..colon.start].ends_with(':')
            {
                text.push_str(&self.text[at..colon.end]);
                text.push(' ');
                at = colon.end;
            }
        }
        if at == 0 {
            return Cow::Borrowed(&self.text);
        }
        text.push_str(&self.text[at..]);
        Cow::Owned(text)
    }

    /// The index that it builds without blocking writes, if that is what it does.
    ///
    /// `None` also where the index has no name: PostgreSQL would invent one. Names are as the
    /// catalogue has them: folded to lower case unless quoted, cut at 63 bytes.
    #[must_use]
    pub fn concurrent_index(&self) -> Option<ConcurrentIndex> {
        let mut rest = self.tokens.as_slice();
        self.take(&mut rest, &["CREATE"])?;
        let _ = self.take(&mut rest, &["UNIQUE"]);
        self.take(&mut rest, &["INDEX", "CONCURRENTLY"])?;
        let _ = self.take(&mut rest, &["IF", "NOT", "EXISTS"]);
        if self.take(&mut rest, &["ON"]).is_some() {
            return None;
        }
        let name = self.take_identifier(&mut rest)?;
        self.take(&mut rest, &["ON"])?;
        let _ = self.take(&mut rest, &["ONLY"]);
        let mut schema = None;
        let mut table = self.take_identifier(&mut rest)?;
        while rest.first().is_some_and(|token| self.slice(token) == ".") {
            rest = &rest[1..];
            schema = Some(table);
            table = self.take_identifier(&mut rest)?;
        }
        Some(ConcurrentIndex { name, schema, table })
    }

    /// Whether these bare words stand anywhere in it, next to each other.
    pub(super) fn contains(&self, words: &[&str]) -> bool {
        (0..self.tokens.len()).any(|at| self.take(&mut &self.tokens[at..], words).is_some())
    }

    /// Whether its last token is this bare word.
    pub(super) fn ends_with(&self, word: &str) -> bool {
        self.tokens.last().is_some_and(|token| is_word(&self.text, *token, word))
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn slice(&self, token: &Token) -> &str {
        &self.text[token.start..token.end]
    }

    /// Moves past these bare words, or stays.
    pub(super) fn take(&self, rest: &mut &[Token], words: &[&str]) -> Option<()> {
        let (leading, behind) = rest.split_at_checked(words.len())?;
        let same = |(token, word): (&Token, &&str)| is_word(&self.text, *token, word);
        leading.iter().zip(words).all(same).then(|| *rest = behind)
    }

    pub(super) fn take_identifier(&self, rest: &mut &[Token]) -> Option<String> {
        let (token, behind) = rest.split_first()?;
        let mut name = match token.kind {
            Kind::Word => self.slice(token).to_ascii_lowercase(),
            Kind::Quoted => self.text[token.start + 1..token.end - 1].replace("\"\"", "\""),
            Kind::Text | Kind::Semicolon | Kind::Open | Kind::Close | Kind::Other => return None,
        };
        name.truncate(name.floor_char_boundary(LONGEST_IDENTIFIER));
        *rest = behind;
        Some(name)
    }
}

/// The statements of a section whose first line is this line of the file.
///
/// If something is not closed: those before it, the last one cut short where it opens, and the line
/// of that with the fault.
pub(super) fn read(
    engine: Engine,
    text: &str,
    line: usize,
) -> (Vec<Statement>, Option<(usize, ScriptFaultKind)>) {
    let (pieces, unclosed) = split(engine, text);
    let (mut at, mut place) = (0, (line, 1));
    let mut go_to = |byte: usize| {
        place = text[at..byte].chars().fold(place, after);
        at = byte;
        place
    };
    let mut statements = Vec::new();
    for piece in pieces {
        let mut tokens = piece.tokens;
        tokens.pop_if(|token| token.kind == Kind::Semicolon);
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        let (start, end) = (first.start, last.end);
        let (line, column) = go_to(start);
        for token in &mut tokens {
            token.start -= start;
            token.end -= start;
        }
        statements.push(Statement { text: text[start..end].to_owned(), line, column, tokens });
    }
    let unclosed = unclosed.map(|Unclosed { start, what, end }| {
        let (line, _) = go_to(start);
        (line, ScriptFaultKind::Unclosed { what, end })
    });
    (statements, unclosed)
}

/// A part of a text: at most one statement, with what stands before it and its semicolon.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Piece {
    /// The bytes that it takes; the pieces of a text follow each other without a gap.
    pub(super) range: Range<usize>,
    /// Its tokens, by bytes of the text; none in a last piece of blanks and comments.
    pub(super) tokens: Vec<Token>,
}

/// Cuts a text after each semicolon that ends a statement.
///
/// If something is not closed, the last piece has the tokens before it and goes on to the end.
pub(super) fn split(engine: Engine, text: &str) -> (Vec<Piece>, Option<Unclosed>) {
    let (tokens, unclosed) = lexer::tokens(engine, text);
    let mut pieces = Vec::new();
    let (mut start, mut current) = (0, Vec::new());
    let (mut depth, mut body) = (0_usize, None);
    for token in tokens {
        current.push(token);
        match (token.kind, engine) {
            // In a rule, `DO (…; …)`. SQLite has no semicolon in parentheses.
            (Kind::Open, Engine::Postgres) => depth += 1,
            (Kind::Close, Engine::Postgres) => depth = depth.saturating_sub(1),
            (Kind::Word, _) if body.is_none() && depth == 0 => {
                body = opens_body(engine, text, &current).then_some(current.len());
            }
            (Kind::Semicolon, _) if depth == 0 && closed(engine, text, &current, body) => {
                pieces.push(Piece { range: start..token.end, tokens: current });
                (start, current, body) = (token.end, Vec::new(), None);
            }
            _ => {}
        }
    }
    if start < text.len() {
        pieces.push(Piece { range: start..text.len(), tokens: current });
    }
    (pieces, unclosed)
}

/// Whether the last of these tokens makes the statement one whose body holds semicolons.
fn opens_body(engine: Engine, text: &str, tokens: &[Token]) -> bool {
    let is = |at: usize, words: &[&str]| {
        tokens.get(at).is_some_and(|token| words.iter().any(|word| is_word(text, *token, word)))
    };
    let last = tokens.len() - 1;
    match engine {
        Engine::Sqlite => {
            is(last, &["TRIGGER"])
                && is(0, &["CREATE"])
                && (last == 1 || last == 2 && is(1, &["TEMP", "TEMPORARY"]))
        }
        Engine::Postgres => {
            let what = if is(1, &["OR"]) && is(2, &["REPLACE"]) { 3 } else { 1 };
            is(0, &["CREATE"])
                && is(last, &["ATOMIC"])
                && is(last - 1, &["BEGIN"])
                && is(what, &["FUNCTION", "PROCEDURE"])
        }
    }
}

/// Whether the semicolon that these tokens end in ends the statement, given how many of them there
/// were when its body opened. Only that of a function may be empty.
fn closed(engine: Engine, text: &str, tokens: &[Token], body: Option<usize>) -> bool {
    match (body, tokens) {
        (None, _) => true,
        (Some(opened), [.., before, end, _]) => {
            let empty = engine == Engine::Postgres && tokens.len() == opened + 2;
            (before.kind == Kind::Semicolon || empty) && is_word(text, *end, "END")
        }
        (Some(_), _) => false,
    }
}

fn is_word(text: &str, token: Token, word: &str) -> bool {
    token.kind == Kind::Word && text[token.start..token.end].eq_ignore_ascii_case(word)
}

/// The line and column after a character, given those of it.
fn after((line, column): (usize, usize), character: char) -> (usize, usize) {
    if character == '\n' { (line + 1, 1) } else { (line, column + 1) }
}
