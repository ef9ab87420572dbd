//! What a section throws away: the tables, columns, schemas and rows that its statements drop.
//!
//! It is read from the text alone, for people who are about to go back. So it promises to name what
//! `DROP TABLE`, `DROP SCHEMA`, `ALTER TABLE … DROP`, `TRUNCATE` and `DELETE` name, and cannot know
//! what a function, a cascade or a block of PL/pgSQL takes along.
//!
//! Surprising: a table that the section itself has created is no loss, and one whose name is taken
//! over afterwards by another table with rows in it is *rebuilt*, as SQLite's rebuilds of tables are.
//! One that is created anew and stays empty is dropped, whatever its name.

use std::{collections::BTreeMap, fmt};

use super::{
    lexer::{Kind, Token},
    statements::Statement,
};

/// Something that is not there any more afterwards.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Loss {
    /// A schema and all that is in it.
    Schema(String),
    /// A table.
    Table(String),
    /// A column.
    Column {
        /// Of this table.
        table: String,
        /// Its name.
        column: String,
    },
    /// A table was dropped, and another one has its name now.
    Rebuilt(String),
    /// Rows of a table: all, or some.
    Rows(String),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(name) => write!(f, "drops schema `{name}`"),
            Self::Table(name) => write!(f, "drops table `{name}`"),
            Self::Column { table, column } => write!(f, "drops column `{table}.{column}`"),
            Self::Rebuilt(name) => write!(f, "rebuilds table `{name}`"),
            Self::Rows(name) => write!(f, "deletes rows of table `{name}`"),
        }
    }
}

/// What these statements throw away, in their order.
#[must_use]
pub fn losses(statements: &[Statement]) -> Vec<Loss> {
    let mut so_far = SoFar::default();
    for effect in statements.iter().flat_map(Statement::effects) {
        so_far.after(effect);
    }
    so_far.losses
}

/// What is known after some of the statements.
#[derive(Default)]
struct SoFar {
    losses: Vec<Loss>,
    /// The tables that the section has created, and whether rows have come into them.
    created: BTreeMap<String, bool>,
    /// The names by which tables were known before it, by those that it gave them.
    before: BTreeMap<String, String>,
}

impl SoFar {
    fn after(&mut self, effect: Effect) {
        match effect {
            Effect::Created(name) => _ = self.created.entry(name).or_default(),
            Effect::Filled(name) => {
                if let Some(filled) = self.created.get_mut(&name) {
                    *filled = true;
                    self.taken_over(&name);
                }
            }
            Effect::Renamed { from, to } => {
                self.taken_over(&to);
                match self.created.remove(&from) {
                    Some(filled) => _ = self.created.insert(to, filled),
                    None => _ = self.before.insert(to, self.name_before(from)),
                }
            }
            Effect::Lost(Loss::Table(name)) => {
                if self.created.remove(&name).is_some() {
                    return;
                }
                let name = self.name_before(name);
                let filled = self.created.get(&name).is_some_and(|filled| *filled);
                self.lost(if filled { Loss::Rebuilt(name) } else { Loss::Table(name) });
            }
            Effect::Lost(Loss::Rows(name) | Loss::Column { table: name, .. })
                if self.created.contains_key(&name) => {}
            Effect::Lost(Loss::Rows(name)) => {
                let name = self.name_before(name);
                self.lost(Loss::Rows(name));
            }
            Effect::Lost(Loss::Column { table, column }) => {
                let table = self.name_before(table);
                self.lost(Loss::Column { table, column });
            }
            Effect::Lost(loss @ (Loss::Schema(_) | Loss::Rebuilt(_))) => self.lost(loss),
        }
    }

    fn lost(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn name_before(&self, name: String) -> String {
        self.before.get(&name).cloned().unwrap_or(name)
    }

    /// Another table with rows has the name of one that was dropped.
    fn taken_over(&mut self, name: &str) {
        let dropped = self.losses.iter_mut().find(|loss| **loss == Loss::Table(name.to_owned()));
        if let Some(loss) = dropped {
            *loss = Loss::Rebuilt(name.to_owned());
        }
    }
}

/// What a statement does to tables.
enum Effect {
    Created(String),
    /// Rows come into it.
    Filled(String),
    Renamed {
        from: String,
        to: String,
    },
    Lost(Loss),
}

impl Statement {
    fn effects(&self) -> Vec<Effect> {
        let mut rest = self.tokens();
        let lost = |loss: fn(String) -> Loss| move |name| Effect::Lost(loss(name));
        if self.take(&mut rest, &["DROP", "TABLE"]).is_some() {
            self.names(rest).into_iter().map(lost(Loss::Table)).collect()
        } else if self.take(&mut rest, &["DROP", "SCHEMA"]).is_some() {
            self.names(rest).into_iter().map(lost(Loss::Schema)).collect()
        } else if self.take(&mut rest, &["TRUNCATE"]).is_some() {
            let _ = self.take(&mut rest, &["TABLE"]);
            let _ = self.take(&mut rest, &["ONLY"]);
            self.names(rest).into_iter().map(lost(Loss::Rows)).collect()
        } else if self.take(&mut rest, &["DELETE", "FROM"]).is_some() {
            let _ = self.take(&mut rest, &["ONLY"]);
            self.name(&mut rest).into_iter().map(lost(Loss::Rows)).collect()
        } else if self.take(&mut rest, &["ALTER", "TABLE"]).is_some() {
            self.alterations(rest)
        } else if self.take(&mut rest, &["INSERT"]).is_some() {
            for conflict in ["ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK"] {
                let _ = self.take(&mut rest, &["OR", conflict]);
            }
            let _ = self.take(&mut rest, &["INTO"]);
            self.name(&mut rest).into_iter().map(Effect::Filled).collect()
        } else {
            let Some(name) = self.created(rest) else { return Vec::new() };
            let filled = self.contains(&["AS", "SELECT"]).then(|| Effect::Filled(name.clone()));
            [Effect::Created(name)].into_iter().chain(filled).collect()
        }
    }

    /// The table that it creates.
    fn created(&self, mut rest: &[Token]) -> Option<String> {
        self.take(&mut rest, &["CREATE"])?;
        for word in ["GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED"] {
            let _ = self.take(&mut rest, &[word]);
        }
        self.take(&mut rest, &["TABLE"])?;
        let _ = self.take(&mut rest, &["IF", "NOT", "EXISTS"]);
        self.name(&mut rest)
    }

    fn alterations(&self, mut rest: &[Token]) -> Vec<Effect> {
        let _ = self.take(&mut rest, &["IF", "EXISTS"]);
        let _ = self.take(&mut rest, &["ONLY"]);
        let Some(table) = self.name(&mut rest) else { return Vec::new() };
        let actions = self.split(rest);
        actions.into_iter().filter_map(|action| self.alteration(&table, action)).collect()
    }

    fn alteration(&self, table: &str, mut rest: &[Token]) -> Option<Effect> {
        if self.take(&mut rest, &["RENAME", "TO"]).is_some() {
            let to = self.name(&mut rest)?;
            // A new name stays in the schema of the old one.
            let to = match table.rsplit_once('.') {
                Some((schema, _)) if !to.contains('.') => format!("{schema}.{to}"),
                _ => to,
            };
            return Some(Effect::Renamed { from: table.to_owned(), to });
        }
        self.take(&mut rest, &["DROP"])?;
        if self.take(&mut rest, &["COLUMN"]).is_none()
            && self.take(&mut rest, &["CONSTRAINT"]).is_some()
        {
            return None;
        }
        let _ = self.take(&mut rest, &["IF", "EXISTS"]);
        let (table, column) = (table.to_owned(), self.take_identifier(&mut rest)?);
        Some(Effect::Lost(Loss::Column { table, column }))
    }

    /// `[IF EXISTS] a, b.c, …`.
    fn names(&self, mut rest: &[Token]) -> Vec<String> {
        let _ = self.take(&mut rest, &["IF", "EXISTS"]);
        self.split(rest).into_iter().filter_map(|mut one| self.name(&mut one)).collect()
    }

    /// A name with the schema before it, if it has one.
    fn name(&self, rest: &mut &[Token]) -> Option<String> {
        let mut name = self.take_identifier(rest)?;
        while let [dot, behind @ ..] = *rest
            && self.slice(dot) == "."
        {
            *rest = behind;
            name = format!("{name}.{}", self.take_identifier(rest)?);
        }
        Some(name)
    }

    /// What stands between commas, as far as they are outside of parentheses.
    fn split<'t>(&self, tokens: &'t [Token]) -> Vec<&'t [Token]> {
        let mut depth = 0_usize;
        let is_comma = |token: &Token| {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Word | Kind::Quoted | Kind::Text | Kind::Semicolon | Kind::Other => {}
            }
            depth == 0 && self.slice(token) == ","
        };
        tokens.split(is_comma).collect()
    }
}
