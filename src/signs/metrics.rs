//! The figures of a run in Prometheus' text format, for the textfile collector of a node exporter.

use std::fmt::Write as _;

use super::state::{State, seconds};

/// A figure that counts events of the log: its name, what it is, and the events.
const COUNTED: &[(&str, &str, &[&str])] = &[
    ("prelaunch_revisions_applied", "Revisions that this run applied.", &["applied"]),
    ("prelaunch_revisions_reverted", "Revisions that this run reverted.", &["reverted"]),
    ("prelaunch_commands_run", "Hooks and reindex commands that succeeded in this run.", &["ran"]),
    (
        "prelaunch_dependency_retries",
        "Tries of this run at which a dependency did not answer.",
        &["not_ready"],
    ),
    (
        "prelaunch_lock_waits",
        "Times that this run reported to wait for another runner.",
        &["waiting", "awaiting"],
    ),
    (
        "prelaunch_revision_retries",
        "Times that a revision of this run gave way to other sessions' locks.",
        &["gave_way"],
    ),
];

/// All figures of a run that has ended.
pub(super) fn text(state: &State) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let mut figure = |name: &str, help: &str, values: &[(String, String)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: String| vec![(String::new(), value)];
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    figure("prelaunch_info", "Which prelaunch ran.", &[(version, "1".to_owned())]);
    let code = state.code().unwrap_or_default().to_string();
    figure("prelaunch_exit_code", "How the run ended; 0 is ready.", &one(code));
    let at = seconds().to_string();
    figure("prelaunch_end_timestamp_seconds", "When the run ended.", &one(at));
    let stages: Vec<(String, String)> = state
        .figures
        .stages
        .iter()
        .map(|(stage, took)| {
            (format!("{{stage=\"{stage}\"}}"), format!("{:.6}", took.as_secs_f64()))
        })
        .collect();
    figure("prelaunch_stage_duration_seconds", "How long each stage of the run took.", &stages);
    for (name, help, events) in COUNTED {
        let of = |event: &&str| state.figures.events.get(*event).copied().unwrap_or_default();
        figure(name, help, &one(events.iter().map(of).sum::<u64>().to_string()));
    }
    text
}
