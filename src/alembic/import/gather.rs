//! Has Python render and record all revisions on each engine, twice, and gathers what was heard.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::{
    ImportError, Importing,
    driver::Driver,
    script::{Imported, Sections},
    section::{self, Heard, Offline, Section},
};
use crate::{
    cli::Delegate, engine::Engine, error::Error, graph::revision::RevisionId, script::Direction,
    stage::Stage,
};

/// What Python heard of one revision.
#[derive(Deserialize)]
struct Listened {
    revision: String,
    up: Option<Heard>,
    down: Option<Heard>,
}

/// What Python heard of all of them.
#[derive(Deserialize)]
struct AllListened {
    revisions: Vec<Listened>,
    #[serde(default)]
    outside: Vec<String>,
}

/// What was heard, by revision, and by whether it leads up.
type ByPlace = BTreeMap<(String, bool), Heard>;

impl Importing<'_> {
    /// What becomes of each direction of each revision on each engine, parents first.
    pub(super) fn sections(
        &mut self,
        driver: &mut Driver<'_>,
        engines: &[Engine],
        mut tags: BTreeMap<RevisionId, String>,
    ) -> Result<Vec<Imported>, Error> {
        let revisions = self.environment.graph.revisions();
        let mut imported: Vec<Imported> = revisions
            .map(|revision| Imported {
                revision: revision.clone(),
                tag: tags.remove(&revision.id),
                sections: Vec::new(),
            })
            .collect();
        for &engine in engines {
            for (one, sections) in imported.iter_mut().zip(self.sections_on(driver, engine)?) {
                one.sections.extend(sections);
            }
        }
        Ok(imported)
    }

    fn sections_on(
        &mut self,
        driver: &mut Driver<'_>,
        engine: Engine,
    ) -> Result<Vec<Sections>, Error> {
        let ids: Vec<String> =
            self.environment.graph.revisions().map(|one| one.id.to_string()).collect();
        let request = json!({ "do": "render", "engine": engine.name(), "revisions": ids });
        let mut twice = Vec::new();
        for _ in 0..2 {
            let heard: AllListened =
                self.runtime.block_on(driver.ask("render the revisions", &request))?;
            self.nothing_outside(&heard.outside)?;
            twice.push(by_place(heard));
        }
        let nothing = Heard::default();
        let heard = |which: &ByPlace, id: &str, direction| {
            which.get(&(id.to_owned(), direction == Direction::Up)).unwrap_or(&nothing).clone()
        };
        let mut offline = Vec::new();
        for id in &ids {
            for direction in [Direction::Up, Direction::Down] {
                let (first, second) =
                    (heard(&twice[0], id, direction), heard(&twice[1], id, direction));
                offline.push((id.clone(), direction, section::offline(engine, &first, &second)));
            }
        }
        let wanted: Vec<(&str, Direction)> = offline
            .iter()
            .filter(|(.., found)| matches!(found, Offline::Asks { .. }))
            .map(|(id, direction, _)| (id.as_str(), *direction))
            .collect();
        let recorded = if wanted.is_empty() || self.asked.delegate == Some(Delegate::Recorded) {
            None
        } else {
            let first = self.record(driver, engine, &ids, &wanted)?;
            // Without a server there is no second one either.
            match first {
                Some(first) => {
                    self.record(driver, engine, &ids, &wanted)?.map(|second| (first, second))
                }
                None => None,
            }
        };
        let settled = offline.iter().map(|(id, direction, found)| {
            let section = match (found, &recorded) {
                (Offline::Settled(section), _) => section.clone(),
                (Offline::Asks { .. }, Some((first, second))) => {
                    let (first, second) =
                        (heard(first, id, *direction), heard(second, id, *direction));
                    section::recorded(engine, &first, &second)
                }
                (Offline::Asks { why, line }, None)
                    if self.asked.delegate == Some(Delegate::Recorded) =>
                {
                    Section::Delegated { why: why.clone(), line: *line }
                }
                (Offline::Asks { why, line }, None) => Section::Refused {
                    why: format!(
                        "needs a database to be rendered ({why}); name a server with --scratch"
                    ),
                    line: *line,
                },
            };
            let left = self.asked.delegate.is_some();
            (engine, *direction, if left { section.delegated() } else { section })
        });
        let settled: Vec<_> = settled.collect();
        Ok(settled.chunks(2).map(<[_]>::to_vec).collect())
    }

    /// Runs all revisions on a throwaway database; nothing where none can be had.
    fn record(
        &mut self,
        driver: &mut Driver<'_>,
        engine: Engine,
        ids: &[String],
        wanted: &[(&str, Direction)],
    ) -> Result<Option<ByPlace>, Error> {
        let Some(scratch) = self.scratch(engine)? else { return Ok(None) };
        let wanted: Vec<Value> =
            wanted.iter().map(|(id, direction)| json!([id, direction.to_string()])).collect();
        let request = json!({
            "do": "record", "engine": engine.name(), "url": scratch.alembic_url,
            "database": scratch.database, "revisions": ids, "wanted": wanted,
        });
        let heard =
            self.runtime.block_on(driver.ask("run the revisions on a scratch database", &request));
        self.drop(scratch);
        heard.map(by_place).map(Some)
    }

    /// What `env.py` sends is in no revision, and so in no script.
    fn nothing_outside(&self, outside: &[String]) -> Result<(), Error> {
        if outside.is_empty() {
            return Ok(());
        }
        let path = self.environment.script_location.join("env.py");
        let statements: Vec<String> = outside
            .iter()
            .map(|text| format!("`{}`", without_breaks(text).trim_end_matches(';')))
            .collect();
        let error = ImportError::Outside { path, statements: statements.join(", ") };
        if self.asked.allow_missing {
            warn!(stage = %Stage::Plan, event = "not_imported", "{error}");
            return Ok(());
        }
        Err(Error::Import(error))
    }
}

fn without_breaks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn by_place(heard: AllListened) -> ByPlace {
    let mut all = BTreeMap::new();
    for one in heard.revisions {
        let directions = [(true, one.up), (false, one.down)];
        for (is_up, heard) in directions {
            if let Some(heard) = heard {
                all.insert((one.revision.clone(), is_up), heard);
            }
        }
    }
    all
}
