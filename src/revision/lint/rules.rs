//! The rules of `revision lint` by name: what hurts, and what to do instead.
//!
//! Promises: names are stable, since headers of scripts allow rules by them; a build without the
//! feature `lint` knows the same names.
//!
//! Those that squawk has bear squawk's names, so that its documentation can be found by them. The
//! words are ours: squawk's speak of lints and settings that are not there.

use std::fmt::Write as _;

use crate::engine::Engine;

/// Who finds that a rule is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// squawk on PostgreSQL, and this crate on SQLite.
    Squawk,
    /// This crate, where squawk has no such rule.
    Own,
}

/// Something that a script had better not do.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) origin: Origin,
    pub(super) engines: &'static [Engine],
    /// What hurts.
    pub(super) reason: &'static str,
    /// What to do.
    pub(super) instead: &'static str,
}

const POSTGRES: &[Engine] = &[Engine::Postgres];
const SQLITE: &[Engine] = &[Engine::Sqlite];
const BOTH: &[Engine] = &Engine::ALL;

const fn squawk(
    name: &'static str,
    engines: &'static [Engine],
    reason: &'static str,
    instead: &'static str,
) -> Rule {
    Rule { name, origin: Origin::Squawk, engines, reason, instead }
}

const fn own(
    name: &'static str,
    engines: &'static [Engine],
    reason: &'static str,
    instead: &'static str,
) -> Rule {
    Rule { name, origin: Origin::Own, engines, reason, instead }
}

/// Rules that two places name.
pub(super) const NOT_VALID: &str = "constraint-missing-not-valid";
pub(super) const UNREAD: &str = "unread";
pub(super) const UNKNOWN: &str = "unknown-rule";

/// All of them, by what they are about: locks that last, then what the previous release relies on,
/// then what goes wrong by itself.
pub(super) const RULES: &[Rule] = &[
    squawk(
        "require-concurrent-index-creation",
        POSTGRES,
        "building an index blocks writes to its table until it is built",
        "write `create index concurrently` in a revision of its own with `transaction: false`",
    ),
    squawk(
        "require-concurrent-index-deletion",
        POSTGRES,
        "dropping an index waits for every query on its table and blocks those that come after",
        "write `drop index concurrently` in a revision of its own with `transaction: false`",
    ),
    squawk(
        "require-concurrent-reindex",
        POSTGRES,
        "rebuilding an index blocks writes to its table, and reads that would use the index",
        "write `reindex … concurrently` in a revision of its own with `transaction: false`",
    ),
    squawk(
        "require-concurrent-partition-detach",
        POSTGRES,
        "detaching a partition blocks reads and writes of the whole table",
        "write `detach partition … concurrently` in a revision of its own with `transaction: false`",
    ),
    own(
        "refreshing-without-concurrently",
        POSTGRES,
        "a materialized view cannot be read while it is refreshed",
        "give it a unique index and write `refresh materialized view concurrently`",
    ),
    squawk(
        NOT_VALID,
        POSTGRES,
        "all rows are checked while the table is locked",
        "add the constraint `not valid`, and `validate constraint` in a later revision",
    ),
    squawk(
        "adding-foreign-key-constraint",
        POSTGRES,
        "all rows are checked while writes to both tables are blocked",
        "add the foreign key `not valid`, and `validate constraint` in a later revision",
    ),
    squawk(
        "adding-not-nullable-field",
        POSTGRES,
        "all rows are checked while the table can be neither read nor written",
        "add `check (… is not null) not valid`, validate it in a later revision, then `set not null`",
    ),
    own(
        "adding-checked-field",
        POSTGRES,
        "all rows are checked while the table can be neither read nor written",
        "add the column alone, then the check `not valid`, and `validate constraint` in a later \
         revision",
    ),
    squawk(
        "disallowed-unique-constraint",
        POSTGRES,
        "its index is built while the table can be neither read nor written",
        "build a unique index concurrently in a revision before, then add the constraint `using index`",
    ),
    squawk(
        "adding-serial-primary-key-field",
        POSTGRES,
        "its index is built while the table can be neither read nor written",
        "build a unique index concurrently in a revision before, then add the primary key `using index`",
    ),
    squawk(
        "adding-field-with-default",
        POSTGRES,
        "a default that differs from row to row rewrites the table while it can be neither read nor \
         written",
        "add the column without it, set the default, and fill old rows in batches in a later revision",
    ),
    own(
        "adding-serial-field",
        POSTGRES,
        "numbering the rows rewrites the table while it can be neither read nor written",
        "add a nullable `bigint`, give it a sequence as default, and fill old rows in batches",
    ),
    squawk(
        "changing-column-type",
        POSTGRES,
        "unless both types are stored alike, the table is rewritten while it can be neither read nor \
         written",
        "add a column of the new type, fill it in batches, and drop the old one a release later",
    ),
    own(
        "rewriting-table",
        POSTGRES,
        "the table is rewritten while it can be neither read nor written",
        "leave it to a window for maintenance, or to a tool that works beside the queries",
    ),
    own(
        "backfill-under-lock",
        POSTGRES,
        "rows are changed while the `alter table` above keeps its table locked",
        "change them in a revision of its own, in batches if they are many",
    ),
    own(
        "unbounded-lock-wait",
        POSTGRES,
        "without a transaction no `lock-timeout` holds, and all queries queue behind this while it \
         waits for its lock",
        "move it to a revision with a transaction",
    ),
    squawk(
        "ban-alter-domain-with-add-constraint",
        POSTGRES,
        "all rows of all tables with this domain are checked under their locks",
        "add the constraint `not valid`, and `validate constraint` in a later revision",
    ),
    squawk(
        "ban-drop-column",
        BOTH,
        "the release that still runs reads and writes this column",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-table",
        BOTH,
        "the release that still runs reads and writes this table",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-view",
        BOTH,
        "the release that still runs reads this view",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-function",
        POSTGRES,
        "the release that still runs calls this function",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-type",
        POSTGRES,
        "the release that still runs names this type in its queries",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-domain",
        POSTGRES,
        "the release that still runs names this domain in its queries",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-sequence",
        POSTGRES,
        "the release that still runs takes numbers from this sequence",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-schema",
        POSTGRES,
        "the release that still runs uses what is in this schema",
        "stop using it in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-database",
        POSTGRES,
        "whoever uses this database loses it, and no transaction brings it back",
        "drop it by hand",
    ),
    squawk(
        "ban-drop-extension",
        POSTGRES,
        "its functions, types and operators go with it, which the release that still runs uses",
        "stop using them in one release, and drop it in the next",
    ),
    squawk(
        "ban-drop-default",
        POSTGRES,
        "the release that still runs inserts rows without this column",
        "let a release give the value first, and drop the default in the next",
    ),
    squawk(
        "ban-drop-generated-expression",
        POSTGRES,
        "the release that still runs does not fill this column",
        "let a release give the value first, and drop the expression in the next",
    ),
    squawk(
        "ban-alter-identity",
        POSTGRES,
        "the release that still runs may insert its own numbers, or none",
        "let a release do what the new column wants first, and change it in the next",
    ),
    squawk(
        "ban-set-schema",
        POSTGRES,
        "the release that still runs looks for it in the old schema",
        "leave a view in its place until the next release",
    ),
    squawk(
        "renaming-column",
        BOTH,
        "the release that still runs uses the old name",
        "add a column, write both in one release, and drop the old one in the next",
    ),
    squawk(
        "renaming-table",
        BOTH,
        "the release that still runs uses the old name",
        "leave a view with the old name in its place until the next release",
    ),
    squawk(
        "renaming-object",
        POSTGRES,
        "the release that still runs uses the old name",
        "make a new one beside it, and drop the old one in the next release",
    ),
    squawk(
        "adding-required-field",
        POSTGRES,
        "it fails if there is a row, and the release that still runs inserts rows without this column",
        "give it a constant default, or let it be null",
    ),
    own(
        "failing-add-column",
        SQLITE,
        "SQLite adds no column that is unique or a primary key, and once there are rows none that is \
         stored, not null without a default, or has a default that is no constant",
        "let it be null or give it a constant default, or rebuild the table",
    ),
    squawk(
        "ban-truncate-cascade",
        POSTGRES,
        "every table that refers to this one is emptied too, and those that refer to them",
        "name the tables that are meant",
    ),
    squawk(
        "identifier-too-long",
        POSTGRES,
        "PostgreSQL cuts names after 63 bytes, and two may become one",
        "write a shorter name",
    ),
    squawk(
        UNREAD,
        POSTGRES,
        "squawk cannot read this statement, so that no rule of its was held against it",
        "look yourself for what it locks; PostgreSQL alone says whether it is right",
    ),
    own(
        UNKNOWN,
        BOTH,
        "the header allows a rule that there is not, so that what was meant is still warned about",
        "write the name of a rule",
    ),
];

/// What squawk could find and is not asked for, and why.
pub(super) const OMITTED: &[(&str, &str)] = &[
    ("ban-concurrent-index-creation-in-transaction", REFUSED),
    ("transaction-nesting", REFUSED),
    ("ban-uncommitted-transaction", REFUSED),
    ("ban-duplicate-column-assignments", "PostgreSQL refuses it, and nothing of the script stays"),
    (
        "prefer-robust-stmts",
        "a script runs whole or not at all, or its journal says how far it came",
    ),
    ("require-timeout-settings", TIMEOUTS),
    ("require-lock-timeout", TIMEOUTS),
    (
        "require-statement-timeout",
        "how long a statement may take is its author's to know: a backfill may take an hour",
    ),
    ("prefer-repack", "`repack` comes with PostgreSQL 19; `rewriting-table` warns on all releases"),
    ("ban-drop-constraint", WIDENS),
    ("ban-drop-not-null", WIDENS),
    ("ban-drop-trigger", BEHAVIOUR),
    ("ban-drop-policy", BEHAVIOUR),
    ("ban-disable-trigger", BEHAVIOUR),
    ("ban-set-default", BEHAVIOUR),
    ("ban-replace-view-function", BEHAVIOUR),
    ("ban-alter-generated-expression", BEHAVIOUR),
    ("ban-alter-policy-condition", RIGHTS),
    ("ban-alter-policy-roles", RIGHTS),
    ("ban-create-policy", RIGHTS),
    ("ban-alter-row-level-security", RIGHTS),
    ("ban-revoke", RIGHTS),
    ("ban-alter-role-options", RIGHTS),
    ("ban-alter-function-options", BEHAVIOUR),
    ("ban-alter-view-options", BEHAVIOUR),
    ("ban-alter-database-options", BEHAVIOUR),
    ("ban-alter-system-options", BEHAVIOUR),
    ("ban-alter-extension", BEHAVIOUR),
    ("ban-alter-sequence-values", BEHAVIOUR),
    ("ban-replica-identity", BEHAVIOUR),
    ("ban-detach-inheritance", BEHAVIOUR),
    ("ban-drop-index", "`require-concurrent-index-deletion` warns of the lock"),
    ("ban-new-write-restriction", "the rules about constraints warn of the locks"),
    ("ban-add-column", EXPANDS),
    ("ban-add-enum-value", EXPANDS),
    ("ban-add-composite-attribute", EXPANDS),
    ("ban-char-field", TASTE),
    ("prefer-text-field", TASTE),
    ("prefer-bigint-over-int", TASTE),
    ("prefer-bigint-over-smallint", TASTE),
    ("prefer-identity", TASTE),
    ("prefer-timestamp-tz", TASTE),
    ("ban-create-domain-with-constraint", TASTE),
    ("require-enum-value-ordering", TASTE),
    ("require-table-schema", "scripts are meant to run in whatever schema the role is given"),
    ("unused-ignore", "comments for squawk are not read; the header allows rules"),
];

const REFUSED: &str = "prelaunch refuses it before anything runs";
const TIMEOUTS: &str =
    "prelaunch sets `lock_timeout`; where it cannot, `unbounded-lock-wait` warns";
const WIDENS: &str = "it widens what is accepted, which is the safe first step of most changes";
const EXPANDS: &str = "it is the safe first step of most changes";
const BEHAVIOUR: &str = "whether it hurts depends on what it is for; no lock lasts";
const RIGHTS: &str = "whether it hurts depends on who needs the right; no lock lasts";
const TASTE: &str =
    "it is a matter of the schema's design, which hurts nobody while it is deployed";

/// The rule of this name.
pub(super) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Why a name that is allowed is no rule here; nothing if it is one.
pub(super) fn unknown(name: &str) -> Option<String> {
    if named(name).is_some() {
        return None;
    }
    if let Some((_, why)) = OMITTED.iter().find(|(omitted, _)| *omitted == name) {
        return Some(format!("`{name}` is never warned about, since {why}; remove it"));
    }
    let slips = |rule: &&Rule| strsim::damerau_levenshtein(rule.name, name);
    // The nearest one, and those that are nearly as near.
    let nearest = RULES.iter().map(|rule| slips(&rule)).min().unwrap_or_default();
    let allowed = (nearest * 2).min(name.len() / 3);
    let mut near: Vec<&Rule> = RULES.iter().filter(|rule| slips(rule) <= allowed).collect();
    near.sort_by_key(slips);
    let near: Vec<String> = near.iter().map(|rule| format!("`{}`", rule.name)).collect();
    Some(match near.as_slice() {
        [] => format!("no rule is called `{name}`; `docs/lint.md` lists them"),
        near => format!("no rule is called `{name}`; write {}", near.join(" or ")),
    })
}

/// The rules as a table of Markdown, for `docs/lint.md`.
#[must_use]
pub fn rules_table() -> String {
    let mut table =
        String::from("| rule | on | what hurts | instead | by |\n|---|---|---|---|---|\n");
    for Rule { name, origin, engines, reason, instead } in RULES {
        let on: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
        let by = match origin {
            Origin::Squawk => "squawk",
            Origin::Own => "prelaunch",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(table, "| `{name}` | {} | {reason} | {instead} | {by} |", on.join(", "));
    }
    table
}

/// What squawk is not asked for as a table of Markdown, for `docs/lint.md`.
#[must_use]
pub fn omitted_table() -> String {
    let rows = OMITTED.iter().map(|(name, why)| format!("| `{name}` | {why} |\n"));
    format!("| rule of squawk | why not |\n|---|---|\n{}", rows.collect::<String>())
}
