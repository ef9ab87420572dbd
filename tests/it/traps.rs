//! What public histories of Alembic have, from start to end: files whose form is odd, and names that
//! mislead. Each is read by itself in `src/alembic/tests/`, and beside Alembic's own loader by
//! `tests/alembic/readers.sh`; here Alembic applies them, and what it has written down is understood.

use std::fs;

use crate::{
    alembic::{environment, revision},
    database::on_both,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// Two packages whose revisions are in nested directories, one of which depends on the other.
fn trapped(start: Prelaunch) -> Prelaunch {
    let ini = "[alembic]\nscript_location = %(here)s\nrecursive_version_locations = true\n\
               path_separator = newline\nversion_locations =\n    %(here)s/versions\n    %(here)s/pay\n";
    let start = environment(start).file("app/alembic.ini", ini).env("AUTO_MIGRATION", "true");
    fs::remove_dir_all(start.directory().join("app/versions")).unwrap();
    // The same header twice, of which the second counts; no docstring, no `downgrade`, CRLF.
    let first = "from alembic import op\nimport sqlalchemy as sa\n\
                 revision = 'deadbeef'\ndown_revision = 'gone'\n\
                 revision = 'Zürich.1~x'\ndown_revision = None\n\n\
                 def upgrade():\n    op.create_table('firsts', sa.Column('n', sa.Integer))\n";
    let named_none =
        format!("{}branch_labels = 'None'\n", revision("0002_b", "Zürich.1~x", "pass"));
    let depends = format!(
        "'''\n\n  pay\n'''\n{}branch_labels = ('pay',)\ndepends_on = 'Zürich.1~x'\n",
        revision("pay 1", "", "op.execute('insert into firsts (n) values (1)')")
    );
    start
        .file("app/versions/2019/first.py", first.replace('\n', "\r\n"))
        .file("app/versions/2020/q1/__init__.py", "")
        .file("app/versions/2020/q1/second.py", named_none)
        .file("app/pay/pay.py", depends)
}

on_both! {
    fn odd_files_are_read_applied_and_found_again(database: &dyn Database) {
        let start = trapped(Prelaunch::on(database)).env("MIGRATION_TARGET", "None@head");
        start.run().assert_status(0);
        assert_eq!(database.history(), ["upgrade Zürich.1~x", "upgrade 0002_b"]);
        assert_eq!(database.query("select version_num from alembic_version"), "0002_b");

        let start = start.env("MIGRATION_TARGET", "heads");
        start.run().assert_status(0);
        assert_eq!(
            database.history(),
            ["upgrade Zürich.1~x", "upgrade 0002_b", "upgrade pay 1"]
        );
        assert_eq!(database.query("select n from firsts"), "1");
        let rows = database.query("select version_num from alembic_version order by 1");
        assert_eq!(rows, "0002_b\npay 1");

        // With what Python has left between the files, and without Python.
        assert!(start.directory().join("app/versions/2019/__pycache__").exists());
        start.clone().env("PATH", "/nowhere").run().assert_status(0).assert_never_said("lock");
        let ask = |arguments: &[&str]| start.clone().args(&[&["database"], arguments].concat()).run();
        ask(&["check"]).assert_status(0);
        ask(&["current"]).assert_status(0).assert_stdout("0002_b (head)\npay 1 (head)");
        ask(&["history"]).assert_status(0).assert_stdout(
            "
            <base> (Zürich.1~x) -> pay 1 (pay) (head), pay
            Zürich.1~x -> 0002_b (None) (head)
            <base> -> Zürich.1~x
            ",
        );
    }

    /// Alembic cannot go back over a file without `downgrade`, nor show the way.
    fn the_way_back_over_files_without_one_is_shown(database: &dyn Database) {
        let start = trapped(Prelaunch::on(database));
        let plan = ["database", "migrate", "--plan", "--revision", "None@head:base"];
        start.args(&plan).run().assert_status(0).assert_stdout(
            "
            down  Zürich.1~x -> 0002_b (None) (head)
            down  <base> -> Zürich.1~x
            ",
        );
    }
}

/// A dependency that only another package brings is no mistake of this one, and yet nothing can be
/// done without it.
#[test]
fn a_dependency_on_a_package_that_is_not_there_is_named() {
    let database = Sqlite::create();
    let start = trapped(Prelaunch::on(&database));
    fs::remove_file(start.directory().join("app/versions/2019/first.py")).unwrap();
    fs::remove_file(start.directory().join("app/versions/2020/q1/second.py")).unwrap();
    start.run().assert_status(20).assert_last_words(
        "prelaunch: exit 20 in configure: DIR/app/pay/pay.py:6: revision `pay 1` depends on `Zürich.1~x`, which is no id and no branch label of the scripts here; add that script or correct the dependency",
    );
}
