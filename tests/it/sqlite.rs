//! SQLite: a file in a directory of its own, spoken to with the program `sqlite3`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    database::{Database, Engine},
    session::Session,
    words::Stand,
};

/// A database file that does not exist yet: prelaunch creates it.
#[derive(Debug)]
pub(crate) struct Sqlite {
    directory: TempDir,
}

impl Sqlite {
    /// A directory with nothing in it.
    pub(crate) fn create() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// The absolute path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join("test.db")
    }

    /// The lock file beside it.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path().with_file_name("test.db.prelaunch-lock")
    }

    fn sqlite3(&self) -> Command {
        let mut command = Command::new("sqlite3");
        command
            .args(["-batch", "-bail", "-init", "/dev/null", "-cmd", ".timeout 10000"])
            .arg(self.path());
        command
    }
}

impl Database for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    fn address(&self) -> String {
        self.url()
    }

    fn lock(&self) -> String {
        format!("lock file {}", self.lock_file().display())
    }

    fn try_query(&self, sql: &str) -> Result<String, String> {
        let output =
            self.sqlite3().arg(sql).stdin(Stdio::null()).output().unwrap_or_else(|error| {
                panic!("sqlite3: {error}; run the tests with ./test.sh");
            });
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn session(&self) -> Session {
        Session::start(self.sqlite3(), ".print")
    }

    fn stands(&self) -> Vec<Stand> {
        vec![(self.path().display().to_string(), "DB")]
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    fn tables(&self) -> Vec<String> {
        // The program would create the file, which is not for a question to do.
        if !self.path().exists() {
            return Vec::new();
        }
        let tables = "select name from sqlite_schema where type = 'table' \
                      and name not like 'sqlite^_%' escape '^' order by name";
        self.query(tables).lines().map(str::to_owned).collect()
    }
}
