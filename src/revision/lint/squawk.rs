//! What squawk says of a script, as far as it is asked: the only place that knows squawk.
//!
//! Promises: only statements that squawk's rules are about reach it, each of them one that it can
//! read; of what it finds, the place and the rule are taken, and nothing about tables that the
//! script itself has made.
//!
//! Surprising: the whole script is one text to squawk, since some rules look at several statements,
//! such as a constraint that is added `NOT VALID` and validated in one transaction. Comments are
//! left out of it: what squawk would read in them is for the header to say. And what is
//! very deep is kept from it: its parser calls itself at each parenthesis.

use squawk_linter::{Linter, Rule};
use squawk_syntax::SourceFile;

use super::{
    Warning,
    reading::{Reading, Scene, Verb, begins, says},
    rules::{NOT_VALID, Origin, RULES, UNREAD},
};
use crate::{engine::Engine, script::Part};

/// How many tokens of a statement may build upon each other, one inside of the next: more than
/// anybody writes by hand, and few enough for the stack of a thread.
const DEEPEST: usize = 400;

/// The warnings of one script.
pub(super) fn examine(scene: &Scene<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut text = String::new();
    // Which statement begins at which byte of the text.
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for (at, reading) in scene.readings.iter().enumerate() {
        if !concerns(reading) {
            continue;
        }
        let readable = is_modest(reading).then(|| reading.statement.without_comments());
        match readable.filter(|one| SourceFile::parse(one).errors().is_empty()) {
            Some(one) => {
                starts.push((text.len(), at));
                text.push_str(&one);
                text.push_str(";\n");
            }
            None => found.extend(Warning::at(reading.statement.line, UNREAD)),
        }
    }
    let rules = RULES.iter().filter(|rule| rule.origin == Origin::Squawk);
    let mut linter = Linter::from(rules.filter_map(|rule| Rule::try_from(rule.name).ok()));
    linter.settings.assume_in_transaction = scene.transactional;
    for violation in linter.lint(&SourceFile::parse(&text), &text) {
        let byte = usize::from(violation.text_range.start());
        let first_behind = starts.partition_point(|(start, _)| *start <= byte);
        let Some(&(start, at)) = starts[..first_behind].last() else { continue };
        let place = Place { scene, at, byte: byte - start };
        let name = violation.code.to_string();
        if place.matters(&name) {
            found.extend(Warning::at(scene.readings[at].statement.line_of(place.byte), &name));
        }
    }
    found
}

/// Whether there are rules about such a statement.
fn concerns(reading: &Reading<'_>) -> bool {
    match reading.verb {
        Verb::Create => matches!(reading.kind.as_str(), "TABLE" | "INDEX"),
        Verb::Alter | Verb::Drop | Verb::Truncate | Verb::Reindex => true,
        Verb::Refresh | Verb::Rows | Verb::Other => false,
    }
}

/// Whether no expression in it is deeper than [`DEEPEST`].
///
/// `not not x` is as deep as `((x))`, so each token counts as if it held all that follow, until a
/// comma begins anew beside it.
fn is_modest(reading: &Reading<'_>) -> bool {
    let mut outer = Vec::new();
    let mut depth = 0_usize;
    reading.parts.iter().all(|part| {
        if part.is("(") || part.is("[") {
            outer.push(depth);
        } else if part.is(")") || part.is("]") {
            depth = outer.pop().unwrap_or(depth);
        } else if part.is(",") {
            depth = outer.last().copied().unwrap_or_default();
        }
        depth += 1;
        depth <= DEEPEST
    })
}

/// Where squawk found something.
struct Place<'a> {
    scene: &'a Scene<'a>,
    at: usize,
    /// In the text of the statement.
    byte: usize,
}

impl Place<'_> {
    /// Whether it hurts here, given what squawk does not know.
    fn matters(&self, name: &str) -> bool {
        let (scene, at) = (self.scene, self.at);
        let reading = &scene.readings[at];
        if name == "identifier-too-long" {
            return true;
        }
        if scene.is_new(at) {
            return false;
        }
        let action = self.action();
        match name {
            // Said by rules of their own.
            NOT_VALID => {
                let mut others = [["FOREIGN"], ["UNIQUE"], ["PRIMARY"]].into_iter();
                !begins(action, &["ADD"]) || !others.any(|words| says(action, &words))
            }
            "adding-field-with-default" => !is_steady(action),
            "ban-drop-default" => !self.is_set_again(),
            // On the parent of partitions alone it builds nothing, and `CONCURRENTLY` is refused.
            "require-concurrent-index-creation" => !says(&reading.parts, &["ON", "ONLY"]),
            "ban-drop-column" => true,
            // Nobody asks for these by name.
            "renaming-object" => {
                !matches!(reading.kind.as_str(), "TABLE" | "INDEX" | "TRIGGER" | "POLICY" | "RULE")
                    && !scene.is_not_missed(at)
            }
            name if name.starts_with("ban-drop-") || name.starts_with("renaming-table") => {
                !scene.is_not_missed(at)
            }
            _ => true,
        }
    }

    /// The action of the `ALTER` that was found.
    fn action(&self) -> &[Part<'_>] {
        let reading = &self.scene.readings[self.at];
        let mut actions = reading.all_actions();
        let ends_behind = |action: &&[Part<'_>]| {
            action.last().is_some_and(|last| last.start + last.text.len() > self.byte)
        };
        actions.find(ends_behind).unwrap_or_default()
    }

    /// Whether the default that goes here comes back, in this statement or a later one.
    fn is_set_again(&self) -> bool {
        let reading = &self.scene.readings[self.at];
        let Some(column) = altered_column(self.action()) else { return false };
        let later = self.scene.readings.iter().skip(self.at);
        later.filter(|other| other.names == reading.names).any(|other| {
            other.all_actions().any(|action| {
                let behind = action
                    .first()
                    .is_some_and(|first| !std::ptr::eq(other, reading) || first.start > self.byte);
                let same = altered_column(action).is_some_and(|again| {
                    again.name(Engine::Postgres) == column.name(Engine::Postgres)
                });
                behind && same && says(action, &["SET", "DEFAULT"])
            })
        })
    }
}

fn altered_column<'a, 's>(action: &'a [Part<'s>]) -> Option<&'a Part<'s>> {
    if begins(action, &["ALTER", "COLUMN"]) {
        action.get(2)
    } else if begins(action, &["ALTER"]) {
        action.get(1)
    } else {
        None
    }
}

/// Functions that give every row the same, of those that defaults call: for squawk any argument
/// makes a function one that does not.
const STEADY: [&str; 22] = [
    "array",
    "cast",
    "coalesce",
    "concat",
    "date_trunc",
    "interval",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "lower",
    "make_interval",
    "md5",
    "now",
    "nullif",
    "row",
    "statement_timestamp",
    "timezone",
    "to_json",
    "to_jsonb",
    "to_timestamp",
    "upper",
];

/// Whether the column that is added has no default that differs from row to row after all, and no
/// value that is stored.
fn is_steady(action: &[Part<'_>]) -> bool {
    if says(action, &["GENERATED"]) {
        return says(action, &["VIRTUAL"]);
    }
    let Some(default) = action.iter().position(|part| part.is("DEFAULT")) else { return false };
    let value = &action[default + 1..];
    let calls = value
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].name(Engine::Postgres).is_some() && pair[1].is("("));
    let mut unsteady = calls.filter(|(at, pair)| {
        // A type with its length, a check, a reference to another table.
        let behind = |words: &[&str]| {
            at.checked_sub(1)
                .and_then(|before| value.get(before))
                .is_some_and(|before| words.iter().any(|word| before.is(word)))
        };
        let word = |words: &[&str]| words.iter().any(|word| pair[0].is(word));
        !(word(&STEADY)
            || word(&["CHECK", "AND", "OR", "NOT", "IN"])
            || behind(&[":", "REFERENCES"]))
    });
    unsteady.next().is_none()
}
