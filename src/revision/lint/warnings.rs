//! The warnings of one script.
//!
//! Promises: each is told once for its line, whichever engines it is about; none of a rule that the
//! header allows.

use std::fmt::Write as _;

#[cfg(feature = "lint")]
use super::squawk;
use super::{
    Finding, Severity, postgres,
    reading::Scene,
    rules::{self, Rule, UNKNOWN},
    section_serves_all, sqlite,
};
use crate::{
    engine::Engine,
    script::{Direction, Script},
};

/// A rule that is broken on a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warning {
    line: usize,
    rule: &'static Rule,
}

impl Warning {
    /// `None` for a name that is no rule: a test holds all callers to the table.
    pub(super) fn at(line: usize, name: &str) -> Option<Self> {
        rules::named(name).map(|rule| Self { line, rule })
    }
}

/// What will hurt, for these engines: nothing of what the header allows.
pub(super) fn of_script(script: &Script, engines: &[Engine]) -> Vec<Finding> {
    let allowed = &script.settings.allow;
    let finding = |line, rule: &Rule, message| Finding {
        path: script.revision.place.path.display().to_string(),
        line,
        severity: Severity::Warning,
        rule: Some(rule.name),
        message,
    };
    let mut found: Vec<Finding> = Vec::new();
    if let Some(rule) = rules::named(UNKNOWN) {
        let unknown = allowed.rules.iter().filter_map(|name| rules::unknown(name));
        found.extend(unknown.map(|message| finding(allowed.line, rule, message)));
    }
    let mut broken: Vec<(Engine, Warning)> = Vec::new();
    for &engine in engines {
        let of_engine = of_statements(script, engine);
        broken.extend(of_engine.into_iter().map(|warning| (engine, warning)));
    }
    for (engine, Warning { line, rule }) in &broken {
        let both = |other: &Engine| {
            broken.iter().any(|(engine, warning)| {
                engine == other && warning.line == *line && warning.rule.name == rule.name
            })
        };
        let of_all = engines.iter().all(both);
        let mut message = format!("{}; {}", rule.reason, rule.instead);
        if section_serves_all(script, *line) && !of_all {
            let _ = write!(message, " (on {engine})");
        }
        found.push(finding(*line, rule, message));
    }
    found.retain(|finding| finding.rule.is_none_or(|rule| !allowed.rules.contains(rule)));
    found
}

/// What the up sections of one engine break.
fn of_statements(script: &Script, engine: Engine) -> Vec<Warning> {
    let Ok(statements) = script.statements(engine, Direction::Up) else { return Vec::new() };
    let scene = Scene::new(script, engine, &statements);
    match engine {
        Engine::Postgres => {
            let found = postgres::examine(&scene);
            #[cfg(feature = "lint")]
            let found = [found, squawk::examine(&scene)].concat();
            found
        }
        Engine::Sqlite => sqlite::examine(&scene),
    }
}
