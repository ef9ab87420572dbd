//! What a statement does to which table, as far as rules ask.
//!
//! Promises: whatever the words are, this reads them to some end; what it does not know is
//! [`Verb::Other`].
//!
//! Surprising: objects are known by their last name alone, without schema and kind. A script that
//! has a table and an index of one name, or one name in two schemas, may be warned about too little.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    engine::Engine,
    script::{Part, Script, Statement},
};

/// The first thing that a statement says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Create,
    Alter,
    Drop,
    Truncate,
    Reindex,
    /// `REFRESH MATERIALIZED VIEW`
    Refresh,
    /// Rows of a table: `INSERT`, `UPDATE`, `DELETE`, `MERGE`, or a `WITH` that may end in one.
    Rows,
    Other,
}

/// A statement and what it does.
#[derive(Debug)]
pub(super) struct Reading<'s> {
    pub(super) statement: &'s Statement,
    pub(super) parts: Vec<Part<'s>>,
    pub(super) verb: Verb,
    /// `TABLE`, `INDEX` and so on, in upper case; empty where there is none.
    pub(super) kind: String,
    /// What is created, altered, dropped and so on.
    pub(super) names: Vec<String>,
    /// The table that is touched, where that is another one than what is named: that of an index.
    pub(super) table: Option<String>,
    /// Whether `CONCURRENTLY` is said where it belongs.
    pub(super) concurrently: bool,
    /// The actions of an `ALTER TABLE`, as ranges of `parts`; otherwise one, what follows the name.
    pub(super) actions: Vec<Range<usize>>,
}

/// The statements of one script for one engine, in order.
#[derive(Debug)]
pub(super) struct Scene<'s> {
    pub(super) transactional: bool,
    pub(super) readings: Vec<Reading<'s>>,
    /// When a name was first given to something new: by the number of the statement.
    born: BTreeMap<String, usize>,
    /// When a name was given for the first time, to something new or not, and for the last time.
    given: BTreeMap<String, (usize, usize)>,
}

impl<'s> Scene<'s> {
    pub(super) fn new(script: &Script, engine: Engine, statements: &'s [Statement]) -> Self {
        let readings = statements.iter().map(|statement| read(statement, engine)).collect();
        let transactional = script.settings.transactional;
        let (born, given) = (BTreeMap::new(), BTreeMap::new());
        let mut scene = Self { transactional, readings, born, given };
        for at in 0..scene.readings.len() {
            let (mut new, mut named) = (Vec::new(), Vec::new());
            let reading = &scene.readings[at];
            match reading.verb {
                Verb::Create => new.clone_from(&reading.names),
                Verb::Alter => {
                    named.extend(reading.new_name(engine));
                    // What is new stays new under another name.
                    if scene.is_new(at) {
                        new.append(&mut named);
                    }
                }
                Verb::Drop
                | Verb::Truncate
                | Verb::Reindex
                | Verb::Refresh
                | Verb::Rows
                | Verb::Other => {}
            }
            for name in new.iter().chain(&named) {
                scene.given.entry(name.clone()).or_insert((at, at)).1 = at;
            }
            for name in new {
                scene.born.entry(name).or_insert(at);
            }
        }
        scene
    }

    /// Whether all that a statement touches was made by this script before, so that nobody uses it.
    pub(super) fn is_new(&self, at: usize) -> bool {
        let reading = &self.readings[at];
        let born = |name: &String| self.born.get(name).is_some_and(|born| *born < at);
        match &reading.table {
            Some(table) => born(table),
            None => !reading.names.is_empty() && reading.names.iter().all(born),
        }
    }

    /// Whether nobody misses the names that a statement takes away: each is there again at the end
    /// of the script, or got its name in it, so that its old one was missed already.
    pub(super) fn is_not_missed(&self, at: usize) -> bool {
        let names = &self.readings[at].names;
        let known = |name: &String| {
            self.given.get(name).is_some_and(|(first, last)| *first < at || *last > at)
        };
        !names.is_empty() && names.iter().all(known)
    }
}

impl<'s> Reading<'s> {
    pub(super) fn action(&self, at: usize) -> &[Part<'s>] {
        self.actions.get(at).and_then(|range| self.parts.get(range.clone())).unwrap_or_default()
    }

    pub(super) fn all_actions(&self) -> impl Iterator<Item = &[Part<'s>]> {
        (0..self.actions.len()).map(|at| self.action(at))
    }

    /// The line in the file of the first of some of its parts.
    pub(super) fn line(&self, parts: &[Part<'_>]) -> usize {
        parts.first().map_or(self.statement.line, |part| self.statement.line_of(part.start))
    }

    pub(super) fn alters_table(&self) -> bool {
        self.verb == Verb::Alter && self.kind == "TABLE"
    }

    /// What a `RENAME TO` makes of the name.
    pub(super) fn new_name(&self, engine: Engine) -> Option<String> {
        let [rename, to, name] = self.action(0) else { return None };
        (rename.is("RENAME") && to.is("TO")).then(|| name.name(engine))?
    }
}

/// Whether these bare words stand anywhere in it, next to each other, outside of parentheses.
pub(super) fn says(parts: &[Part<'_>], words: &[&str]) -> bool {
    let mut depth = 0_usize;
    for at in 0..parts.len() {
        let part = &parts[at];
        if part.is("(") {
            depth += 1;
        } else if part.is(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && begins(&parts[at..], words) {
            return true;
        }
    }
    false
}

/// Whether it begins with these bare words.
pub(super) fn begins(parts: &[Part<'_>], words: &[&str]) -> bool {
    parts.len() >= words.len() && parts.iter().zip(words).all(|(part, word)| part.is(word))
}

/// An `ADD COLUMN`, less what stands before the name of the column.
pub(super) fn added_column<'a, 's>(action: &'a [Part<'s>]) -> Option<&'a [Part<'s>]> {
    let mut cursor = Cursor { parts: action, at: 0, engine: Engine::Postgres };
    if !cursor.take(&["ADD"]) {
        return None;
    }
    if cursor.take(&["COLUMN"]) {
        cursor.take(&["IF", "NOT", "EXISTS"]);
        return Some(cursor.rest());
    }
    // Without the word `COLUMN` it may be a constraint.
    let constraint =
        ["CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE", "NOT", "GENERATED"];
    let rest = cursor.rest();
    let is_constraint = rest.first().is_none_or(|part| constraint.iter().any(|word| part.is(word)));
    if is_constraint {
        return None;
    }
    cursor.take(&["IF", "NOT", "EXISTS"]);
    Some(cursor.rest())
}

struct Cursor<'a, 's> {
    parts: &'a [Part<'s>],
    at: usize,
    engine: Engine,
}

impl<'a, 's> Cursor<'a, 's> {
    fn rest(&self) -> &'a [Part<'s>] {
        &self.parts[self.at..]
    }

    /// Moves past these bare words, or stays.
    fn take(&mut self, words: &[&str]) -> bool {
        let taken = begins(self.rest(), words);
        if taken {
            self.at += words.len();
        }
        taken
    }

    fn take_any(&mut self, words: &[&str]) {
        while words.iter().any(|word| self.take(&[word])) {}
    }

    /// The last one of a qualified name.
    fn name(&mut self) -> Option<String> {
        let mut name = self.rest().first()?.name(self.engine)?;
        self.at += 1;
        while self.take(&["."]) {
            name = self.rest().first()?.name(self.engine)?;
            self.at += 1;
        }
        Some(name)
    }

    /// Names with commas between them; what stands in parentheses behind one is its arguments.
    fn names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            self.take(&["*"]);
            self.skip_parentheses();
            if !self.take(&[","]) {
                break;
            }
            self.take(&["ONLY"]);
        }
        names
    }

    fn skip_parentheses(&mut self) {
        if !self.rest().first().is_some_and(|part| part.is("(")) {
            return;
        }
        let mut depth = 0_usize;
        while let Some(part) = self.rest().first() {
            self.at += 1;
            if part.is("(") {
                depth += 1;
            } else if part.is(")") {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
        }
    }

    /// The word for a kind of object.
    fn kind(&mut self) -> String {
        self.take_any(&["MATERIALIZED", "FOREIGN", "EVENT", "TEXT", "SEARCH"]);
        let Some(part) = self.rest().first().filter(|part| part.is_word()) else {
            return String::new();
        };
        self.at += 1;
        part.text.to_ascii_uppercase()
    }
}

fn read(statement: &Statement, engine: Engine) -> Reading<'_> {
    let mut reading = Reading {
        statement,
        parts: statement.parts(),
        verb: Verb::Other,
        kind: String::new(),
        names: Vec::new(),
        table: None,
        concurrently: false,
        actions: Vec::new(),
    };
    let parts = std::mem::take(&mut reading.parts);
    fill(&mut reading, &mut Cursor { parts: &parts, at: 0, engine });
    reading.parts = parts;
    reading
}

fn fill(reading: &mut Reading<'_>, cursor: &mut Cursor<'_, '_>) {
    if cursor.take(&["CREATE"]) {
        reading.verb = Verb::Create;
        cursor.take(&["OR", "REPLACE"]);
        cursor.take_any(&["GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE"]);
        cursor.take_any(&["RECURSIVE", "VIRTUAL", "CONSTRAINT"]);
        reading.kind = cursor.kind();
        reading.concurrently = cursor.take(&["CONCURRENTLY"]);
        cursor.take(&["IF", "NOT", "EXISTS"]);
        let unnamed = reading.kind == "INDEX" && cursor.take(&["ON"]);
        if !unnamed {
            reading.names.extend(cursor.name());
        }
        if reading.kind == "INDEX" && (unnamed || cursor.take(&["ON"])) {
            cursor.take(&["ONLY"]);
            reading.table = cursor.name();
        }
    } else if cursor.take(&["ALTER"]) {
        reading.verb = Verb::Alter;
        reading.kind = cursor.kind();
        cursor.take(&["IF", "EXISTS"]);
        cursor.take(&["ONLY"]);
        reading.names.extend(cursor.name());
        cursor.take(&["*"]);
        reading.actions = actions(cursor);
    } else if cursor.take(&["DROP"]) {
        reading.verb = Verb::Drop;
        reading.kind = cursor.kind();
        reading.concurrently = cursor.take(&["CONCURRENTLY"]);
        cursor.take(&["IF", "EXISTS"]);
        reading.names = cursor.names();
    } else if cursor.take(&["TRUNCATE"]) {
        reading.verb = Verb::Truncate;
        cursor.take_any(&["TABLE", "ONLY"]);
        reading.names = cursor.names();
    } else if cursor.take(&["REINDEX"]) {
        reading.verb = Verb::Reindex;
        cursor.skip_parentheses();
        reading.kind = cursor.kind();
        reading.concurrently = cursor.take(&["CONCURRENTLY"]);
        reading.names.extend(cursor.name());
    } else if cursor.take(&["REFRESH", "MATERIALIZED", "VIEW"]) {
        reading.verb = Verb::Refresh;
        reading.concurrently = cursor.take(&["CONCURRENTLY"]);
        reading.names.extend(cursor.name());
    } else if cursor.take(&["WITH"]) {
        reading.verb = Verb::Rows;
    } else if let Some((_, kind)) = ROWS.iter().find(|(words, _)| cursor.take(words)) {
        reading.verb = Verb::Rows;
        (*kind).clone_into(&mut reading.kind);
        cursor.take(&["ONLY"]);
        reading.names.extend(cursor.name());
    }
}

const ROWS: [(&[&str], &str); 4] = [
    (&["INSERT", "INTO"], "INSERT"),
    (&["UPDATE"], "UPDATE"),
    (&["DELETE", "FROM"], "DELETE"),
    (&["MERGE", "INTO"], "MERGE"),
];

/// The rest as ranges, cut at the commas outside of parentheses and brackets.
fn actions(cursor: &Cursor<'_, '_>) -> Vec<Range<usize>> {
    let (mut actions, mut start, mut depth) = (Vec::new(), cursor.at, 0_usize);
    for (at, part) in cursor.parts.iter().enumerate().skip(cursor.at) {
        if part.is("(") || part.is("[") {
            depth += 1;
        } else if part.is(")") || part.is("]") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && part.is(",") {
            actions.push(start..at);
            start = at + 1;
        }
    }
    actions.push(start..cursor.parts.len());
    actions
}
