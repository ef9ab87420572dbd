//! A database client that stays connected, for as long as a test needs somebody else in there: to
//! hold a lock, to sit in a transaction, to keep a SQLite file busy.
//!
//! It is `psql` or `sqlite3` with a pipe as stdin. After each request it is told to print a
//! mark, so that [`Session::execute`] knows when it was carried out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// What ends an answer.
const MARK: &str = "--- done ---";

/// A connected client. Dropping it breaks the connection, and rolls back what was open.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// What makes the program print the mark.
    print: &'static str,
}

impl Session {
    /// Starts the program. `print` is its command that prints the words behind it.
    pub(crate) fn start(mut command: Command, print: &'static str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout), print }
    }

    /// Runs SQL to its end, and gives its rows; fails if the session has ended. Errors of the SQL
    /// itself are on stderr, and no rows.
    #[track_caller]
    pub(crate) fn execute(&mut self, sql: &str) -> String {
        self.send(sql);
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            let count = self.stdout.read_line(&mut line).unwrap();
            assert!(count > 0, "the session has ended; it should run: {sql}");
            if line.trim_end() == MARK {
                return answer.trim_end().to_owned();
            }
            answer.push_str(&line);
        }
    }

    /// Has SQL begin, without waiting for its end. The next [`Session::execute`] gives its
    /// answer too.
    #[track_caller]
    pub(crate) fn send(&mut self, sql: &str) {
        writeln!(self.stdin, "{sql};\n{} {MARK}", self.print).unwrap();
        self.stdin.flush().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
