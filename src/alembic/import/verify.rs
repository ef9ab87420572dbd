//! `--verify`: two throwaway databases, one migrated by Alembic and one by the scripts that are to be
//! written, compared after each tag and at the end; with `--back` also on the way down.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Driver, ImportError, Importing,
    report::{self, Held},
    script::Imported,
    section::Section,
    shape,
};
use crate::{
    alembic::DEFAULT_VERSION_TABLE,
    config::{ChainConfig, Config},
    db::scratch::Scratch,
    engine::Engine,
    error::Error,
    graph::{revision::RevisionId, target::Target},
    migrate,
    script::Direction,
    signals::Signals,
    stage::Stage,
    version_table::VersionTable,
};

/// Where the two are compared.
struct Stop {
    way: &'static str,
    direction: &'static str,
    target: Target,
    /// For people: the tag, else the target.
    name: String,
}

/// Compares on one engine; where both were the same, or the first difference as an error.
pub(super) fn verify(
    importing: &mut Importing<'_>,
    driver: &mut Driver<'_>,
    config: &Config,
    signals: &Arc<Signals>,
    engine: Engine,
    imported: &[Imported],
    migrations: &Path,
) -> Result<Vec<Held>, Error> {
    // On the way up Alembic may take its part; the way back is not ours then.
    let is_there = |one: &&Imported, direction: Direction| match one.section(engine, direction) {
        Some(Section::Taken { .. }) => true,
        Some(Section::Delegated { .. }) => direction == Direction::Up,
        Some(Section::Absent(_) | Section::Refused { .. }) | None => false,
    };
    let lacks = |direction| imported.iter().rev().find(|one| !is_there(one, direction));
    if let Some(one) = lacks(Direction::Up) {
        warn!(
            stage = %Stage::Plan, event = "not_verified", engine = engine.name(),
            revision = %one.revision.id, "without this revision nothing can be compared"
        );
        return Ok(Vec::new());
    }
    let mut stops = up(imported);
    if importing.asked.back {
        match lacks(Direction::Down) {
            None => stops.extend(down(imported)),
            Some(one) => warn!(
                stage = %Stage::Plan, event = "not_verified", engine = engine.name(),
                revision = %one.revision.id,
                "this revision has no way back, so that ways back are not compared"
            ),
        }
    }
    let Some(theirs) = importing.scratch(engine)? else { return Ok(Vec::new()) };
    let ours = match importing.scratch(engine) {
        Ok(Some(ours)) => ours,
        other => {
            importing.drop(theirs);
            return other.map(|_| Vec::new());
        }
    };
    let config = Config {
        chains: vec![ChainConfig {
            version_table: imported.iter().any(Imported::is_delegated).then(|| VersionTable {
                schema: importing.environment.version_table_schema.named().map(str::to_owned),
                table: version_table(importing),
            }),
            ..ChainConfig::of(ours.url.clone(), migrations.to_owned())
        }],
        wait_for: Vec::new(),
        status_addr: None,
        status_file: None,
        metrics_file: None,
        notify_socket: None,
        ..config.clone()
    };
    let ordered = is_line(imported);
    let mut held = Vec::new();
    let mut passed = BTreeSet::new();
    let compared = stops.into_iter().try_for_each(|stop| {
        if stop.direction == "up" {
            let delegates = (imported, &mut passed);
            delegated(importing, driver, &config, signals, &ours, &stop, delegates)?;
        }
        compare(importing, driver, &config, signals, (&theirs, &ours), &stop, ordered)?;
        info!(
            stage = %Stage::Plan, event = "verified", engine = engine.name(), target = stop.name,
            "{} this target Alembic and the scripts made the same schema", stop.way
        );
        held.push(Held { way: stop.way, target: stop.name });
        Ok(())
    });
    importing.drop(theirs);
    importing.drop(ours);
    compared.map(|()| held)
}

/// The tags and the end.
fn up(imported: &[Imported]) -> Vec<Stop> {
    let stop = |target: Target, name: String| Stop { way: "at", direction: "up", target, name };
    let tagged = imported.iter().filter_map(|one| {
        let id = one.revision.id.to_string();
        one.tag.as_ref().map(|tag| stop(Target::Name(id), tag.clone()))
    });
    tagged.chain([stop(Target::Heads, "heads".to_owned())]).collect()
}

/// The tags from the end, and the beginning. With branches a step back means another thing to
/// Alembic than to us, so that only all steps together are compared.
fn down(imported: &[Imported]) -> Vec<Stop> {
    let stop =
        |target: Target, name: String| Stop { way: "back at", direction: "down", target, name };
    let is_line = is_line(imported);
    let tagged = imported.iter().rev().skip(1).filter(|_| is_line).filter_map(|one| {
        let id = one.revision.id.to_string();
        one.tag.as_ref().map(|tag| stop(Target::Name(id), tag.clone()))
    });
    tagged.chain([stop(Target::Base, "base".to_owned())]).collect()
}

/// Whether each revision follows the one before it and no other.
fn is_line(imported: &[Imported]) -> bool {
    imported.windows(2).all(|pair| pair[1].revision.parents == [pair[0].revision.id.clone()])
}

/// Takes the scripts' database up to a stop as far as Alembic has a part in it: the scripts to what
/// comes before each revision that is left to it, and Alembic over that one.
fn delegated(
    importing: &Importing<'_>,
    driver: &mut Driver<'_>,
    config: &Config,
    signals: &Arc<Signals>,
    ours: &Scratch,
    stop: &Stop,
    (imported, passed): (&[Imported], &mut BTreeSet<RevisionId>),
) -> Result<(), Error> {
    let (engine, graph) = (ours.engine(), &importing.environment.graph);
    let wanted = graph.with_ancestors(&graph.resolve(&stop.target).unwrap_or_default());
    let is_theirs = |one: &&Imported| {
        let section = one.section(engine, Direction::Up);
        wanted.contains(&one.revision.id) && matches!(section, Some(Section::Delegated { .. }))
    };
    for one in imported.iter().filter(is_theirs) {
        let id = &one.revision.id;
        if passed.contains(id) {
            continue;
        }
        for before in one.revision.parents.iter().chain(graph.dependencies(id)) {
            if !passed.contains(before) {
                let target = Target::Name(before.to_string());
                scripts_to(config, engine, &target, before.as_str(), signals)?;
                passed.extend(graph.with_ancestors([before]));
            }
        }
        let request = json!({
            "do": "migrate", "engine": engine.name(), "url": ours.alembic_url,
            "database": ours.database, "direction": "up", "target": id.to_string(),
        });
        let _: Value =
            importing.runtime.block_on(driver.ask("migrate a scratch database", &request))?;
        passed.insert(id.clone());
    }
    passed.extend(wanted);
    Ok(())
}

fn scripts_to(
    config: &Config,
    engine: Engine,
    target: &Target,
    name: &str,
    signals: &Arc<Signals>,
) -> Result<(), Error> {
    migrate::throwaway(config, target, signals).map_err(|error| {
        if matches!(error, Error::Stopped { .. }) {
            return error;
        }
        let (target, why, code) = (name.to_owned(), error.chain(), error.exit_code());
        Error::Import(ImportError::Migrate { engine, target, why, code })
    })
}

fn version_table(importing: &Importing<'_>) -> String {
    let table = report::version_table(&importing.environment);
    table.unwrap_or_else(|| DEFAULT_VERSION_TABLE.to_owned())
}

fn compare(
    importing: &Importing<'_>,
    driver: &mut Driver<'_>,
    config: &Config,
    signals: &Arc<Signals>,
    (theirs, ours): (&Scratch, &Scratch),
    stop: &Stop,
    ordered: bool,
) -> Result<(), Error> {
    let engine = theirs.engine();
    let request = json!({
        "do": "migrate", "engine": engine.name(), "url": theirs.alembic_url,
        "database": theirs.database, "direction": stop.direction, "target": stop.target.to_string(),
    });
    let _: Value =
        importing.runtime.block_on(driver.ask("migrate a scratch database", &request))?;
    scripts_to(config, engine, &stop.target, &stop.name, signals)?;
    let table = &version_table(importing);
    let (theirs, ours) = importing
        .runtime
        .block_on(async { Ok((theirs.shape(table).await?, ours.shape(table).await?)) })
        .map_err(|error| Error::Import(ImportError::Scratch(error)))?;
    match shape::difference(engine, ordered, &theirs, &ours) {
        None => Ok(()),
        Some(difference) => Err(Error::Import(ImportError::Differs {
            engine,
            way: stop.way,
            target: stop.name.clone(),
            difference,
        })),
    }
}
