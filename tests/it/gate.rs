//! A gate in the way of runners: it stops them under the lock, and lets them go on when it is told
//! to, so that a test can look around in between.
//!
//! On PostgreSQL it is an advisory lock that a script asks for by [`Gate::STATEMENT`]; on SQLite,
//! where a script can wait for nothing, somebody else writes, and runners stop before their first
//! write.

use crate::{
    database::{Database, Engine, eventually},
    running::Running,
    session::Session,
};

/// A gate that is shut; dropping it opens it.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub(crate) struct Gate {
    engine: Engine,
    session: Session,
}

impl Gate {
    /// What a script on PostgreSQL says to stop here.
    pub(crate) const STATEMENT: &str = "select pg_advisory_xact_lock(1);";

    /// Shuts it.
    pub(crate) fn shut(database: &dyn Database) -> Self {
        let mut session = database.session();
        match database.engine() {
            Engine::Sqlite => session.execute("begin immediate"),
            Engine::Postgres => session.execute("begin; select pg_advisory_xact_lock(1)"),
        };
        Self { engine: database.engine(), session }
    }

    /// What a script of this engine says to stop here: on SQLite nothing.
    pub(crate) fn statement(database: &dyn Database) -> &'static str {
        match database.engine() {
            Engine::Sqlite => "",
            Engine::Postgres => Self::STATEMENT,
        }
    }

    /// Waits until this runner, the first to come, stands before it.
    #[track_caller]
    pub(crate) fn stops(&self, database: &dyn Database, runner: &Running) {
        match self.engine {
            Engine::Sqlite => drop(runner.wait_for("another process uses the SQLite file")),
            Engine::Postgres => eventually("a runner stands at the gate", || {
                let stopped = "select 1 from pg_locks where locktype = 'advisory' and not granted \
                               and classid = 0 and objid = 1 and database = \
                               (select oid from pg_database where datname = current_database())";
                (database.query(stopped) == "1").then_some(())
            }),
        }
    }

    /// Opens it.
    pub(crate) fn open(mut self) {
        self.session.execute("rollback");
    }
}
