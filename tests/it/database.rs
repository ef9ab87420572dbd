//! One empty database for one test, of either engine.
//!
//! A test that must hold on both takes `&dyn Database` and is written inside of `on_both!`, which
//! makes of it the tests `<claim>::sqlite` and `<claim>::postgres`.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{running::WORDS, session::Session, words::Stand};

/// Which engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A database that belongs to one test, and is gone after it.
pub(crate) trait Database: Sync {
    /// Which engine.
    fn engine(&self) -> Engine;

    /// What `DATABASE_URL` says, password included.
    fn url(&self) -> String;

    /// The same as prelaunch shows it, without the password.
    fn address(&self) -> String;

    /// How the lock is called in the log.
    fn lock(&self) -> String;

    /// Runs SQL as the role of the URL; rows as lines, columns with `|` between them. An error of
    /// the SQL fails the test.
    #[track_caller]
    fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// The same, with the error as a value.
    fn try_query(&self, sql: &str) -> Result<String, String>;

    /// A client that stays connected.
    fn session(&self) -> Session;

    /// What of its address differs from run to run.
    fn stands(&self) -> Vec<Stand>;

    /// What must not show in any output.
    fn secrets(&self) -> Vec<String>;

    /// The ids in the ledger, sorted; none where there is no ledger.
    fn ledger(&self) -> Vec<String> {
        self.recorded("select revision from prelaunch_ledger order by revision")
    }

    /// The revisions that were applied, in the order in which it happened.
    fn upgrades(&self) -> Vec<String> {
        self.recorded("select subject from prelaunch_history where event = 'upgrade' order by seq")
    }

    /// The history as lines `event subject`.
    fn history(&self) -> Vec<String> {
        self.recorded("select trim(event || ' ' || subject) from prelaunch_history order by seq")
    }

    /// A query on tables of prelaunch, which are not there before the first run.
    fn recorded(&self, sql: &str) -> Vec<String> {
        if self.tables().iter().any(|table| table == "prelaunch_ledger") {
            self.query(sql).lines().map(str::to_owned).collect()
        } else {
            Vec::new()
        }
    }

    /// The names of all tables, sorted.
    fn tables(&self) -> Vec<String>;
}

/// Asks again and again until there is an answer; for the state of a database or of a process,
/// which nobody gives notice of. Bounded like everything.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WORDS;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Makes two tests of a function that takes a [`Database`].
macro_rules! on_both {
    ($($(#[$note:meta])* fn $claim:ident($database:ident: &dyn Database) $body:block)*) => {$(
        $(#[$note])*
        mod $claim {
            #[allow(unused_imports, reason = "what a body needs differs")]
            use super::*;

            fn holds($database: &dyn $crate::database::Database) $body

            #[test]
            fn sqlite() {
                holds(&$crate::sqlite::Sqlite::create());
            }

            #[test]
            fn postgres() {
                holds(&$crate::postgres::Postgres::create());
            }
        }
    )*};
}
pub(crate) use on_both;
