//! Why a database is not migrated, stamped, or its script not accepted.

use crate::{
    files::ChainError,
    graph::{GraphFault, RouteError, list, revision::Place},
    plan::Refusal,
    script::losses::Loss,
};

/// Names beyond these are counted.
const LISTED: usize = 8;

/// Why nothing was done, or why it may not have been enough.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The target leads nowhere, or no way leads there.
    #[error(transparent)]
    Route(RouteError),
    /// What is applied is a reason to stop.
    #[error(transparent)]
    Refused(Refusal),
    /// The way leads back, and that was not allowed.
    #[error(
        "going to `{target}` reverts {}{}; to do that, add --allow-downgrade",
        counted(*.steps),
        which(.losses)
    )]
    NotAllowed {
        /// How the target was named.
        target: String,
        /// How many revisions would be reverted.
        steps: usize,
        /// What would be lost.
        losses: Vec<Loss>,
    },
    /// There is nobody to ask.
    #[error(
        "reverting {} has to be confirmed, and there is no terminal to ask at; add --yes",
        counted(*.steps)
    )]
    Unconfirmed {
        /// How many revisions would be reverted.
        steps: usize,
    },
    /// Somebody was asked, and said no.
    #[error("nothing was reverted, since it was not confirmed")]
    Declined,
    /// Between the look that was shown and the lock, somebody else changed the ledger.
    #[error("somebody else changed the ledger meanwhile; look again, and repeat the command")]
    Moved,
    /// All steps were taken, and something else happened beside them.
    #[error(
        "all steps to `{target}` were taken, and the database is at {at}; does something else \
         write to `prelaunch_ledger`?"
    )]
    Elsewhere {
        /// How the target was named.
        target: String,
        /// Where it is.
        at: String,
    },
    /// A revision has no way back.
    #[error(
        "{place}: revision `{revision}` has no down section for {engine}; write one, or restore a backup"
    )]
    NoDown {
        /// Which.
        revision: String,
        /// Where its script is.
        place: Place,
        /// The engine.
        engine: &'static str,
    },
    /// A revision that Alembic applies has no way back here.
    #[error(
        "{place}: revision `{revision}` is left to Alembic (`delegate: alembic`), and its way back too: \
         use `alembic downgrade`, which is seen in the version table"
    )]
    DelegatedBack {
        /// Which.
        revision: String,
        /// Where its script is.
        place: Place,
    },
    /// A script of SQL cannot run Alembic.
    #[error(
        "{place}: revision `{revision}` is left to Alembic (`delegate: alembic`), which no script of SQL \
         can run; use `alembic upgrade {revision}` between two scripts, one to each side of it"
    )]
    DelegatedSql {
        /// Which.
        revision: String,
        /// Where its script is.
        place: Place,
    },
    /// A script of SQL is for a ledger and a version table that say the same.
    #[error(
        "another tool has migrated the database, and the ledger does not say so yet; have it recorded \
         with `prelaunch database migrate`, or by a start"
    )]
    Unrecorded,
    /// Neither the scripts here nor the ledger have the way back.
    #[error(
        "revision `{revision}` has no script here as it was applied, and the ledger keeps no down \
         section of it; use the image that brought it"
    )]
    NotKept {
        /// Which.
        revision: String,
    },
    /// What the ledger keeps cannot be used.
    #[error("the down sections that the ledger keeps cannot be used")]
    Kept(#[source] ChainError),
    /// The sections that are to be run have faults.
    #[error(transparent)]
    Scripts(ChainError),
    /// What the ledger says of revisions that no script here has does not fit together.
    #[error(
        "the revisions in the ledger that no script here has do not fit to those here: {}",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Ledger(Vec<GraphFault>),
    /// A row of the ledger is none of ours.
    #[error("the ledger has a row whose revision is `{0}`, which is no id; correct it by hand")]
    StrangeId(String),
    /// The revisions are Alembic's.
    #[error(
        "these revisions are Alembic's; go there with `alembic`, or to `MIGRATION_TARGET` with \
         `AUTO_MIGRATION=true prelaunch run`"
    )]
    Alembic,
    /// An engine is needed, and nothing says which.
    #[error("set DATABASE_URL, or say --engine postgres or --engine sqlite")]
    NoEngine,
    /// A revision that is not applied cannot have been changed since.
    #[error("revision `{revision}` is not applied; there is nothing to accept")]
    NotApplied {
        /// Which.
        revision: String,
    },
    /// `accept` needs one revision.
    #[error("`{target}` is not one revision; name the one whose script was changed")]
    NotOne {
        /// How it was named.
        target: String,
    },
}

fn counted(steps: usize) -> String {
    format!("{steps} {}", if steps == 1 { "revision" } else { "revisions" })
}

/// `, which drops tables …, column … and rows of …`; nothing if only tables are rebuilt.
fn which(losses: &[Loss]) -> String {
    let (mut schemas, mut tables, mut columns, mut rows) = (vec![], vec![], vec![], vec![]);
    for loss in losses {
        match loss {
            Loss::Schema(name) => schemas.push(name.clone()),
            Loss::Table(name) => tables.push(name.clone()),
            Loss::Column { table, column } => columns.push(format!("{table}.{column}")),
            Loss::Rows(name) => rows.push(name.clone()),
            Loss::Rebuilt(_) => {}
        }
    }
    let kinds = [
        (schemas, "schema", "schemas"),
        (tables, "table", "tables"),
        (columns, "column", "columns"),
        (rows, "rows of", "rows of"),
    ];
    let some = kinds.into_iter().filter(|(names, ..)| !names.is_empty());
    let parts: Vec<String> = some
        .map(|(names, one, many)| {
            format!("{} {}", if names.len() == 1 { one } else { many }, list(&names, LISTED))
        })
        .collect();
    match parts.split_last() {
        None => String::new(),
        Some((last, [])) => format!(", which drops {last}"),
        Some((last, first)) => format!(", which drops {}, and {last}", first.join(", ")),
    }
}

impl MigrateError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Route(RouteError::Target(_)) | Self::NotOne { .. } => 21,
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Route(RouteError::Unknown { .. } | RouteError::Gap { .. })
            | Self::NotAllowed { .. }
            | Self::Unconfirmed { .. }
            | Self::Declined
            | Self::Moved
            | Self::NotKept { .. }
            | Self::DelegatedBack { .. }
            | Self::DelegatedSql { .. }
            | Self::Unrecorded
            | Self::NotApplied { .. } => 16,
            Self::Elsewhere { .. } => 14,
            Self::NoDown { .. } | Self::Kept(_) | Self::Ledger(_) | Self::StrangeId(_) => 20,
            Self::Scripts(error) => error.exit_code(),
            Self::NoEngine | Self::Alembic => 10,
        }
    }
}

/// Names in backticks, of many only some.
pub(super) fn named(names: &[String]) -> String {
    if names.is_empty() { "`base`".to_owned() } else { list(names, LISTED) }
}
