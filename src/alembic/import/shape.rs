//! The schemas of two databases, compared.
//!
//! PostgreSQL's catalogue has a form of its own, and is compared as it is. SQLite keeps the text of
//! each statement: there, letter case outside of texts, quotes around plain names and blanks do not
//! count, nor does the order of the constraints of a table, which have none where Alembic rebuilds it.
//! The order of columns counts where the revisions form a line: with branches, Alembic may take them
//! in another order than we do, and so makes other columns first.

use std::collections::BTreeSet;

use crate::engine::Engine;

/// How many lines of a difference are shown.
const SHOWN: usize = 3;

/// What only one of two schemas has, in words; nothing where they are the same.
pub(super) fn difference(
    engine: Engine,
    ordered: bool,
    alembic: &[String],
    scripts: &[String],
) -> Option<String> {
    let plain = |lines: &[String]| -> BTreeSet<String> {
        let lines = lines.iter().map(|line| match engine {
            Engine::Postgres if line.starts_with("column ") && !ordered => {
                line.rsplit_once(" position ").map_or(line.as_str(), |(line, _)| line).to_owned()
            }
            Engine::Postgres => line.clone(),
            Engine::Sqlite => normalised(line, ordered),
        });
        lines.collect()
    };
    let (alembic, scripts) = (plain(alembic), plain(scripts));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| -> Vec<String> {
        let shown = these.difference(those).take(SHOWN).map(|line| format!("`{line}`"));
        shown.collect()
    };
    let words = [("Alembic", only(&alembic, &scripts)), ("the scripts", only(&scripts, &alembic))];
    let words: Vec<String> = words
        .into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(who, lines)| format!("only {who} made {}", lines.join(", ")))
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// A statement of SQLite's schema without what does not matter.
fn normalised(statement: &str, ordered: bool) -> String {
    let text = spaced(statement);
    let Some((head, rest)) =
        text.strip_prefix("create table ").and_then(|rest| rest.split_once('('))
    else {
        return text;
    };
    let (parts, tail) = parts(rest);
    let is_constraint = |part: &String| {
        let first = part.split([' ', '(']).next().unwrap_or_default();
        ["constraint", "primary", "unique", "check", "foreign"].contains(&first)
    };
    let (mut constraints, mut columns): (Vec<String>, Vec<String>) =
        parts.into_iter().partition(is_constraint);
    constraints.sort();
    if !ordered {
        columns.sort();
    }
    let all: Vec<String> = columns.into_iter().chain(constraints).collect();
    format!("create table {}({}){}", head.trim(), all.join(", "), tail.trim())
}

/// Lower case outside of texts, one blank between words, no blanks beside brackets and commas, no
/// quotes around names that need none.
fn spaced(statement: &str) -> String {
    let mut text = String::new();
    let mut characters = statement.chars().peekable();
    let mut blank = false;
    while let Some(character) = characters.next() {
        if character.is_whitespace() {
            blank = true;
            continue;
        }
        let tight = |c: char| "(),".contains(c);
        if blank && !tight(character) && !text.ends_with(tight) && !text.is_empty() {
            text.push(' ');
        }
        blank = false;
        match character {
            '\'' | '"' | '`' => {
                let mut inside = String::new();
                while let Some(next) = characters.next() {
                    if next == character {
                        if characters.peek() != Some(&character) {
                            break;
                        }
                        characters.next();
                    }
                    inside.push(next);
                }
                let plain = inside.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if character != '\'' && plain && !inside.is_empty() {
                    text.push_str(&inside.to_ascii_lowercase());
                } else {
                    text.push(character);
                    text.push_str(&inside);
                    text.push(character);
                }
            }
            other => text.push(other.to_ascii_lowercase()),
        }
    }
    text
}

/// What stands between the commas up to the bracket that closes, and what follows it.
fn parts(text: &str) -> (Vec<String>, &str) {
    let (mut parts, mut depth, mut start, mut quote) = (Vec::new(), 0_usize, 0, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) => {
                if character == open {
                    quote = None;
                }
            }
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ',') if depth == 0 => {
                parts.push(text[start..at].trim().to_owned());
                start = at + 1;
            }
            (None, ')') if depth == 0 => {
                parts.push(text[start..at].trim().to_owned());
                return (parts, &text[at + 1..]);
            }
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    parts.push(text[start..].trim().to_owned());
    (parts, "")
}
