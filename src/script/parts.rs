//! A statement as who asks what it does reads it: words, names, punctuation.
//!
//! Promises: parts follow each other in the order of the text, without blanks and comments; their
//! places are those in the text of the statement.

use super::{
    Statement,
    lexer::{Kind, Token},
    statements::LONGEST_IDENTIFIER,
};
use crate::engine::Engine;

/// A token of a statement.
#[derive(Clone, Copy, Debug)]
pub struct Part<'s> {
    kind: Kind,
    /// As it is written.
    pub text: &'s str,
    /// Its first byte in the text of the statement.
    pub start: usize,
}

impl Part<'_> {
    /// Whether it is this bare word, in any case; or this character.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        match self.kind {
            Kind::Word => self.text.eq_ignore_ascii_case(word),
            Kind::Semicolon | Kind::Open | Kind::Close | Kind::Other => self.text == word,
            Kind::Quoted | Kind::Text => false,
        }
    }

    /// Whether it is a bare word.
    #[must_use]
    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }

    /// The identifier that it is, so that two spellings of one name are equal: as PostgreSQL's
    /// catalogue has it; on SQLite, where names have no case, in lower case.
    #[must_use]
    pub fn name(&self, engine: Engine) -> Option<String> {
        let bare = match self.kind {
            Kind::Word => return Some(cut(self.text.to_ascii_lowercase(), engine)),
            Kind::Quoted => self.text.get(1..self.text.len() - 1)?,
            Kind::Text | Kind::Semicolon | Kind::Open | Kind::Close | Kind::Other => return None,
        };
        let quote = &self.text[..1];
        let name = bare.replace(&quote.repeat(2), quote);
        Some(match engine {
            Engine::Postgres => cut(name, engine),
            Engine::Sqlite => name.to_ascii_lowercase(),
        })
    }
}

fn cut(mut name: String, engine: Engine) -> String {
    if engine == Engine::Postgres {
        name.truncate(name.floor_char_boundary(LONGEST_IDENTIFIER));
    }
    name
}

impl Statement {
    /// Its tokens.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        let part = |token: &Token| Part {
            kind: token.kind,
            text: &self.text[token.start..token.end],
            start: token.start,
        };
        self.tokens.iter().map(part).collect()
    }

    /// The line in the file of a byte of its text.
    #[must_use]
    pub fn line_of(&self, byte: usize) -> usize {
        let before = self.text.bytes().take(byte);
        self.line + before.filter(|byte| *byte == b'\n').count()
    }

    /// Its text with blanks for comments, byte for byte at the same places.
    #[must_use]
    pub fn without_comments(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        for token in &self.tokens {
            let between = self.text[text.len()..token.start].bytes();
            text.extend(between.map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            text.push_str(&self.text[token.start..token.end]);
        }
        text
    }
}
