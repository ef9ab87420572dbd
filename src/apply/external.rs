//! Bringing the ledger into step with a version table that another tool has written to.
//!
//! What the table stands for is recorded as `external`, and no script is run for it; what it does not
//! stand for any more goes. All of it is one transaction under the lock, with a line of the history
//! for each revision. Whoever called looks again: the other tool may be at work still.

use std::{collections::BTreeSet, time::Duration};

use tracing::info;

use super::{ApplyError, ledger_row};
use crate::{
    db::{Correction, Entry, Event, Locked, Observed, Origin, Turn},
    files::Chain,
    plan::agreement::{self, Difference, Standing},
    stage::Stage,
};

/// Records what the version table says, if that is not what the ledger says. `heads` are those of the
/// database afterwards. False if there was nothing to do.
pub async fn agree(
    locked: &mut Locked,
    chain: &Chain,
    observed: &Observed,
    heads: &str,
) -> Result<bool, ApplyError> {
    let (Standing::Differs(difference), Some(table)) =
        (agreement::standing(chain, observed), chain.kept_versions())
    else {
        return Ok(false);
    };
    locked.create_tables().await.map_err(ApplyError::Tables)?;
    let (correction, entries) = changes(chain, observed, &difference, heads);
    let agreed = locked.correct(&correction, &entries).await;
    let table = table.to_string();
    match agreed.map_err(|source| ApplyError::Disagrees { table: table.clone(), source })? {
        // Somebody was faster, which the next look shows.
        false => {}
        true if difference.create => info!(
            stage = %Stage::Apply, event = "version_table", table, at = joined(&difference.after),
            "the version table was not there; keeps it in step with the ledger from now on"
        ),
        true => info!(
            stage = %Stage::Apply, event = "external", table, at = joined(&difference.after),
            applied = difference.come.len(), reverted = difference.gone.len(),
            "another tool has migrated the database; the ledger says so too"
        ),
    }
    Ok(true)
}

fn joined(rows: &BTreeSet<String>) -> String {
    crate::look::joined(rows)
}

fn changes(
    chain: &Chain,
    observed: &Observed,
    difference: &Difference,
    heads: &str,
) -> (Correction, Vec<Entry>) {
    let Difference { create, before, after, come, gone } = difference.clone();
    let entry = |event, subject: String| Entry {
        event,
        subject,
        heads: heads.to_owned(),
        took: Duration::ZERO,
    };
    let retracted = gone.iter().map(|id| entry(Event::Retracted, id.clone()));
    let external = come.iter().map(|id| entry(Event::External, id.to_string()));
    let entries = retracted.chain(external).collect();
    let scripts = come.iter().filter_map(|id| chain.scripts.get(id));
    let come = scripts
        .map(|script| ledger_row(&chain.graph, script, chain.engine, Origin::External))
        .collect();
    let expected = observed.ledger.iter().map(|row| row.revision.clone()).collect();
    let turn = Some(Turn { create, before, after });
    (Correction::Stamp { expected, gone, come, turn }, entries)
}
