//! Who stands in the way: a session that holds what a revision waits for.

use std::fmt;

/// One session of several, as far as it may be seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocker {
    /// Its backend; 0 is a prepared transaction, which has none.
    pub pid: i64,
    /// What it calls itself; empty if it does not.
    pub name: String,
    /// The role that it logged in as; a process of the server has none.
    pub role: Option<String>,
    /// When its transaction began, as the database prints it.
    pub since: Option<String>,
    /// What the server says of it: `active`, `idle in transaction`. None if that is hidden from us.
    pub state: Option<String>,
    /// What it runs, or ran last, shortened and without its constants. None if that is hidden.
    pub statement: Option<String>,
    /// How many more there are.
    pub others: i64,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            f.write_str("a prepared transaction, see `pg_prepared_xacts`")?;
        } else {
            write!(f, "pid {}, ", self.pid)?;
            match self.name.as_str() {
                "" => f.write_str("without a name")?,
                name => write!(f, "`{name}`")?,
            }
            if let Some(role) = &self.role {
                write!(f, " of role `{role}`")?;
            }
            match (&self.state, &self.statement) {
                (Some(state), Some(statement)) => {
                    write!(f, ", {state}")?;
                    if let Some(since) = &self.since {
                        write!(f, " since {since}")?;
                    }
                    let tense = if state == "active" { "running" } else { "having run" };
                    write!(f, ", {tense} `{statement}`")?;
                }
                _ => f.write_str(
                    "; what it does is shown to its own role and to members of `pg_read_all_stats`",
                )?,
            }
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, "; and {others} more"),
        }
    }
}
