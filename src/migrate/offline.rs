//! Routes that are known without a database, and the script of `--sql`.

use std::collections::BTreeSet;

use super::{
    MigrateError,
    course::{self, Course},
    pages,
};
use crate::{
    apply::ledger_row,
    cli::Migrate,
    config::{Config, DatabaseUrl},
    database::{lines::Lines, pages::Paint, reading::Reading},
    db::{
        Origin, Turn,
        offline::{Change, OfflineScript, Part},
    },
    engine::Engine,
    error::Error,
    files::{self, Chain},
    graph::{Graph, RouteError, target::Target},
    plan::agreement,
    script::{Direction, losses::losses},
};

/// What was asked without a database.
pub(super) async fn answer(
    reading: &Reading<'_>,
    asked: &Migrate,
    paint: Paint,
) -> Result<String, Error> {
    let engine = asked.engine.or(reading.chain.database.as_ref().map(DatabaseUrl::engine));
    let to = &asked.revision.to;
    let Some(engine) = engine else {
        if asked.sql {
            return Err(Error::Migrate(MigrateError::NoEngine));
        }
        let graph = reading.graph().await?;
        let recorded = begins(&graph, asked).map_err(Error::Migrate)?;
        let course = Course::offline(graph, recorded, to, false).map_err(Error::Migrate)?;
        return Ok(pages::route(&course, asked.json, paint));
    };
    let load = |answer| files::load(reading.chain, &Target::Heads, engine, answer);
    let chain = reading.asker().load(load).await?;
    let recorded = begins(&chain.graph, asked).map_err(Error::Migrate)?;
    let keeps_versions = chain.kept_versions().is_some();
    let course = Course::offline(chain.graph.clone(), recorded, to, keeps_versions);
    let course = course.map_err(Error::Migrate)?;
    let text = if chain.alembic.is_some() {
        // There are steps, and no scripts of ours for them.
        if asked.sql {
            Err(MigrateError::Alembic)
        } else {
            Ok(pages::route(&course, asked.json, paint))
        }
    } else if asked.sql {
        script(&course, &chain, "", reading.config)
    } else {
        pages::plan(&course, &chain, asked.json, paint)
    };
    text.map_err(Error::Migrate)
}

/// What is applied where it begins: nothing, unless that was said.
fn begins(graph: &Graph, asked: &Migrate) -> Result<BTreeSet<String>, MigrateError> {
    let mut ids = Vec::new();
    for from in asked.revision.from.iter().chain(&asked.from) {
        let found = graph.resolve(from);
        ids.extend(found.map_err(|error| MigrateError::Route(RouteError::Target(error)))?);
    }
    Ok(graph.with_ancestors(&ids).iter().map(ToString::to_string).collect())
}

/// One script that does what a migration would do.
pub(super) fn script(
    course: &Course,
    chain: &Chain,
    schema: &str,
    config: &Config,
) -> Result<String, MigrateError> {
    let work = course.work(chain)?;
    let delegated = work.steps.iter().map(|(script, _)| script);
    if work.direction == Direction::Up
        && let Some(script) = delegated.into_iter().find(|script| script.delegates(chain.engine))
    {
        let (revision, place) = (script.revision.id.to_string(), script.revision.place.clone());
        return Err(MigrateError::DelegatedSql { revision, place });
    }
    let lines = Lines::of(&course.graph);
    let engine = match chain.engine {
        Engine::Postgres => "PostgreSQL, for psql",
        Engine::Sqlite => "SQLite, for sqlite3",
    };
    let ends = |ids: &[_]| {
        super::error::named(&ids.iter().map(ToString::to_string).collect::<Vec<String>>())
    };
    let title =
        format!("from {} to {} on {engine}", ends(&course.route.from), ends(&course.route.to));
    let mut versions = work.versions.clone();
    let table = chain.kept_versions().zip(versions.as_ref());
    let mut text = OfflineScript::new(chain.engine, schema, &[title], &course.recorded, table);
    let mut recorded = course.recorded.clone();
    for (script, statements) in &work.steps {
        let revision = &script.revision;
        let row;
        let (change, way) = match work.direction {
            Direction::Up => {
                recorded.insert(revision.id.to_string());
                row = ledger_row(&course.graph, script, chain.engine, Origin::Upgrade);
                (Change::Up(&row), "up")
            }
            Direction::Down => {
                recorded.remove(revision.id.as_str());
                (Change::Down(revision.id.as_str()), "down")
            }
        };
        let turn = versions.map(|before| Turn {
            create: false,
            before,
            after: agreement::rows_of(&course.graph, &recorded),
        });
        versions = turn.as_ref().map(|turn| turn.after.clone());
        let mut notes = vec![format!("{way} {}", lines.full(revision))];
        if work.direction == Direction::Down {
            notes.extend(losses(statements).iter().map(ToString::to_string));
        }
        text.add(&Part {
            change,
            turn,
            notes,
            statements: statements.iter().map(|statement| statement.piped(chain.engine)).collect(),
            transactional: script.settings.transactional,
            lock_timeout: script.settings.lock_timeout.unwrap_or(config.ddl_lock_timeout),
            heads: course::heads_text(&course.graph, &recorded),
        });
    }
    Ok(text.into_text())
}
