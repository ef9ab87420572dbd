//! Where an environment is found, and which of its files are read.

use super::*;

const INI: &str = "[alembic]\nscript_location = %(here)s/migrations\n";

/// An environment `/migrations` of two revisions, with more files.
fn environment(more: &[(&str, &str)]) -> tempfile::TempDir {
    let (a, b) = (text("a", None), text("b", Some("a")));
    let mut all = vec![
        ("migrations/env.py", "context.configure(version_table='t', version_table_schema='s')"),
        ("migrations/versions/z_first.py", &a),
        ("migrations/versions/a_second.py", &b),
    ];
    all.extend(more);
    files(&all)
}

/// What is read at a path, and at the root of it.
#[track_caller]
fn check_at(directory: &tempfile::TempDir, path: &str, expected: &str) {
    let found = read(&directory.path().join(path));
    assert_eq!(ids(directory.path(), &found), expected, "{path}");
}

mod forms {
    use super::*;

    #[test]
    fn an_environment_is_found_from_each_of_its_directories() {
        let directory = environment(&[("alembic.ini", INI)]);
        for path in
            ["", "alembic.ini", "migrations", "migrations/versions", "migrations/../migrations"]
        {
            let found = read(&directory.path().join(path)).expect("an environment");
            let root = directory.path();
            assert_eq!(found.graph.len(), 2, "{path}");
            assert_eq!(inside(root, &found.script_location), "migrations", "{path}");
            assert_eq!(found.version_locations, [root.join("migrations/versions")], "{path}");
            assert_eq!(found.ini, Some(root.join("alembic.ini")), "{path}");
            assert_eq!(found.directory, root, "{path}");
            assert_eq!(found.version_table.named(), Some("t"), "{path}");
            assert_eq!(found.version_table_schema.named(), Some("s"), "{path}");
        }
    }

    #[test]
    fn the_ini_may_be_beside_env_or_far_above_or_of_another_name() {
        let beside = environment(&[("migrations/alembic.ini", "[alembic]\nscript_location = .\n")]);
        check_at(&beside, "migrations", "a b");
        let found = read(&beside.path().join("migrations/versions")).expect("an environment");
        assert_eq!(found.ini, Some(beside.path().join("migrations/alembic.ini")));
        assert_eq!(found.directory, beside.path().join("migrations"));

        let (a, ini) = (text("a", None), "[alembic]\nscript_location = db/x/migrations\n");
        let above = files(&[
            ("app/other.ini", "[alembic]\nscript_location = elsewhere\n"),
            ("app/test.ini", ini),
            ("app/broken.ini", "x"),
            ("app/db/x/migrations/env.py", ""),
            ("app/db/x/migrations/versions/a.py", &a),
        ]);
        let found = read(&above.path().join("app/db/x/migrations")).expect("an environment");
        assert_eq!(found.ini, Some(above.path().join("app/test.ini")));
        assert_eq!(found.directory, above.path().join("app"));
    }

    #[test]
    fn a_relative_path_holds_from_above_the_ini_where_it_leads_somewhere() {
        let a = text("a", None);
        let directory = files(&[
            (
                "backend/db/alembic.ini",
                "[alembic]\nscript_location = backend/db/m\nversion_locations = backend/v\n",
            ),
            ("backend/db/m/env.py", ""),
            ("backend/v/a.py", &a),
        ]);
        let found = read(&directory.path().join("backend/db")).expect("an environment");
        assert_eq!(found.directory, directory.path());
        assert_eq!(found.version_locations, [directory.path().join("backend/v")]);

        // The nearest one may lead to some of them only.
        let both = files(&[
            ("app/alembic.ini", "[alembic]\nscript_location = m\nversion_locations = v\n"),
            ("app/m/", ""),
            ("m/", ""),
            ("v/a.py", &a),
        ]);
        let found = read(&both.path().join("app")).expect("an environment");
        assert_eq!(found.directory, both.path());
        assert_eq!(found.script_location, both.path().join("m"));
    }

    #[test]
    fn without_settings_the_directories_speak_for_themselves() {
        let directory = environment(&[]);
        for path in ["migrations", "migrations/versions"] {
            let found = read(&directory.path().join(path)).expect("an environment");
            assert_eq!((found.graph.len(), found.ini), (2, None), "{path}");
            assert_eq!(found.version_table.named(), Some("t"), "{path}");
        }
        let a = text("a", None);
        let bare = files(&[("v/a.py", &a)]);
        check_at(&bare, "v", "a");
    }

    #[test]
    fn flask_writes_an_ini_without_a_location() {
        let directory = environment(&[("migrations/alembic.ini", "[alembic]\n# template\n")]);
        check_at(&directory, "migrations", "a b");
        check_at(&directory, "migrations/versions", "a b");
    }

    #[test]
    fn a_toml_may_say_it_and_one_of_others_is_passed_over() {
        let toml = "[tool.alembic]\nscript_location = 'migrations'\n";
        let directory = environment(&[("pyproject.toml", toml)]);
        check_at(&directory, "", "a b");
        let found = read(&directory.path().join("migrations")).expect("an environment");
        assert_eq!(found.toml, Some(directory.path().join("pyproject.toml")));
        let other = environment(&[("alembic.ini", INI), ("pyproject.toml", "[project]\nx = 'no")]);
        check_at(&other, "", "a b");
    }

    #[test]
    fn another_section_may_be_asked_for() {
        let a = text("a", None);
        let ini = "[DEFAULT]\nscript_location = m\n[core]\nversion_locations = m/core\n[ee]\nversion_locations = m/ee\n";
        let directory = files(&[("alembic.ini", ini), ("m/core/a.py", &a), ("m/ee/", "")]);
        let options = Options { section: "core".to_owned(), ..Options::default() };
        assert_eq!(ids(directory.path(), &read_with(directory.path(), &options)), "a");
        check_at(
            &directory,
            "",
            "`DIR/alembic.ini` has no `script_location` in its section `[alembic]`; set it, or name \
             the directory of `env.py`",
        );
    }

    #[test]
    fn one_of_several_version_locations_is_meant_where_it_is_named() {
        let (a, b) = (text("a", None), text("b", None));
        let several = [
            ("alembic.ini", "[alembic]\nscript_location = m\n"),
            ("m/env.py", "context.configure(version_table='t')"),
            ("m/versions/one/a.py", a.as_str()),
            ("m/versions/two/b.py", b.as_str()),
        ];
        let directory = files(&several);
        check_at(&directory, "m/versions/one", "a");
        check_at(
            &directory,
            "",
            "`DIR/m/versions` has no revision, but there are some in `DIR/m/versions/one`, \
             `DIR/m/versions/two`; name one of these, or set `recursive_version_locations`",
        );
        let found = read(&directory.path().join("m/versions/two")).expect("an environment");
        assert_eq!(found.version_table.named(), Some("t"));
    }
}

mod packages {
    use super::*;

    #[test]
    fn a_package_is_found_where_the_ini_lies_inside_of_it_or_in_an_environment() {
        let a = text("a", None);
        let ini = "[alembic]\nscript_location = my.app:alembic\n";
        let inner =
            files(&[("site/my/app/alembic.ini", ini), ("site/my/app/alembic/versions/a.py", &a)]);
        check_at(&inner, "site/my/app", "a");
        check_at(&inner, "site/my/app/alembic/versions", "a");
        let packages = ".venv/lib/python3.12/site-packages/my/app/alembic/versions/a.py";
        let beside = files(&[("alembic.ini", ini), (packages, &a)]);
        check_at(&beside, "", "a");
        let told = files(&[("x/alembic.ini", ini), ("y/my/app/alembic/versions/a.py", &a)]);
        let options = Options { packages: vec![told.path().join("y")], ..Options::default() };
        assert_eq!(ids(told.path(), &read_with(&told.path().join("x"), &options)), "a");
        let prepended = files(&[
            ("x/alembic.ini", &format!("{ini}prepend_sys_path = ../y\n")),
            ("y/my/app/alembic/versions/a.py", &a),
        ]);
        check_at(&prepended, "x", "a");
    }

    #[test]
    fn one_that_is_nowhere_is_for_python_to_find() {
        let directory = files(&[("alembic.ini", "[alembic]\nscript_location = not_installed:m\n")]);
        let error = read(directory.path()).expect_err("an error");
        assert!(error.python_may_know());
        let words = ids(directory.path(), &Err(error));
        let start = "DIR/alembic.ini:2: `script_location` is `not_installed:m`, and the package \
                     `not_installed` is found in none of the directories of packages (`DIR`, ";
        assert!(words.starts_with(start), "{words}");
    }
}

mod listing {
    use super::*;

    #[test]
    fn strays_and_caches_are_left_and_nested_directories_wait_to_be_asked_for() {
        let (c, broken) = (text("c", Some("b")), "no python");
        let more = [
            ("alembic.ini", INI),
            ("migrations/versions/__init__.py", broken),
            ("migrations/versions/.#a.py", broken),
            ("migrations/versions/README.md", broken),
            ("migrations/versions/a_second.py.orig", broken),
            ("migrations/versions/__pycache__/a_second.cpython-312.pyc", broken),
            ("migrations/versions/__pycache__/x.py", broken),
            ("migrations/versions/2024/c.py", c.as_str()),
        ];
        check_at(&environment(&more), "", "a b");
        let recursive = environment(&more);
        let ini = format!("{INI}recursive_version_locations = true\n");
        #[expect(clippy::disallowed_methods, reason = "tests write what is read")]
        std::fs::write(recursive.path().join("alembic.ini"), ini).expect("a file");
        check_at(&recursive, "", "a b c");
        check_at(&recursive, "migrations/versions/2024", "a b c");
    }

    #[test]
    fn every_other_file_must_be_a_revision() {
        let directory = environment(&[("migrations/versions/tools.py", "x = 1")]);
        check_at(
            &directory,
            "migrations",
            "DIR/migrations/versions/tools.py:1: the file declares no `revision`; declare it, or \
             move the file out of the directory of revisions; \
             DIR/migrations/versions/tools.py:1: the file declares no `down_revision`; write \
             `down_revision = None` if it is a root",
        );
    }

    #[test]
    fn a_file_that_is_reached_twice_counts_once() {
        let directory = environment(&[(
            "alembic.ini",
            "[alembic]\nscript_location = migrations\nversion_locations = migrations/versions linked gone\n",
        )]);
        let versions = directory.path().join("migrations/versions");
        std::os::unix::fs::symlink(&versions, directory.path().join("linked")).expect("a link");
        std::os::unix::fs::symlink("z_first.py", versions.join("linked.py")).expect("a link");
        check_at(&directory, "", "a b");
    }

    #[test]
    fn compiled_revisions_are_for_python_to_read() {
        let sourceless = "[alembic]\nscript_location = m\nsourceless = true\n";
        let a = text("a", None);
        let compiled =
            "the revision is compiled, and its source is not beside it; bring the `.py` file";
        let directory = files(&[
            ("alembic.ini", sourceless),
            ("m/versions/a.py", &a),
            ("m/versions/a.pyc", ""),
            ("m/versions/b.pyc", ""),
            ("m/versions/b.pyo", ""),
            ("m/versions/__pycache__/a.cpython-312.pyc", ""),
            ("m/versions/__pycache__/c.cpython-312.pyc", ""),
        ]);
        let error = read(directory.path()).expect_err("an error");
        assert!(error.python_may_know());
        assert_eq!(
            ids(directory.path(), &Err(error)),
            format!(
                "DIR/m/versions/b.pyc:1: {compiled}; DIR/m/versions/__pycache__/c.cpython-312.pyc:1: {compiled}"
            )
        );
        let only =
            files(&[("alembic.ini", "[alembic]\nscript_location = m\n"), ("m/versions/a.pyc", "")]);
        check_at(
            &only,
            "",
            "`DIR/m/versions` has compiled revisions alone; bring their `.py` files, or set `sourceless`",
        );
    }

    #[test]
    fn the_order_is_that_of_names_and_not_of_the_disk() {
        let texts: Vec<(String, String)> = (0..20)
            .map(|at| (format!("m/versions/{}.py", (at * 7) % 20), text(&format!("r{at}"), None)))
            .collect();
        let mut given: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let one = files(&given);
        given.reverse();
        let other = files(&given);
        let found = [&one, &other].map(|it| ids(it.path(), &read(&it.path().join("m/versions"))));
        assert_eq!(found[0], found[1]);
        assert!(found[0].starts_with("r0 r3 r10 r13 "), "{}", found[0]);
    }
}

mod errors {
    use super::*;

    #[test]
    fn an_unsound_graph_is_told_with_file_and_line() {
        let more = [("migrations/versions/copy.py", "#\nrevision = 'b'\ndown_revision = 'zz'\n")];
        check_at(
            &environment(&more),
            "migrations",
            "DIR/migrations/versions/copy.py:2: revision `b` is already in \
             DIR/migrations/versions/a_second.py:1; give one of them another id; \
             DIR/migrations/versions/copy.py:2: revision `b` revises `zz`, which no script here \
             has; add that script or correct the parent",
        );
        let own = files(&[("v/a.py", "revision = down_revision = 'a'\n")]);
        check_at(
            &own,
            "v",
            "DIR/v/a.py:1: revision `a` comes before itself; name the revision that does",
        );
        let other = files(&[(
            "v/a.py",
            "revision = 'a'\ndown_revision = None\ndepends_on = 'dbdbc1b19cf2'\n",
        )]);
        check_at(
            &other,
            "v",
            "DIR/v/a.py:1: revision `a` depends on `dbdbc1b19cf2`, which is no id and no branch \
             label of the scripts here; add that script or correct the dependency",
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let directory = files(&[
            ("empty/versions/", ""),
            ("nothing/", ""),
            ("lost/alembic.ini", "[alembic]\nscript_location = gone\n"),
            ("absolute/alembic.ini", "[alembic]\nscript_location = /no/such/directory\n"),
        ]);
        check_at(&directory, "absent", "cannot read `DIR/absent`");
        check_at(
            &directory,
            "empty",
            "`DIR/empty/versions` has no revision; check that the image has its files",
        );
        check_at(
            &directory,
            "nothing",
            "`DIR/nothing` is no Alembic environment; name the directory of `alembic.ini`, of \
             `env.py`, or of the revisions",
        );
        check_at(
            &directory,
            "lost",
            "DIR/lost/alembic.ini:2: `script_location` is `gone`, which is no directory in \
             `DIR/lost` or above; correct the path",
        );
        check_at(
            &directory,
            "absolute",
            "DIR/absolute/alembic.ini:2: `script_location` is `/no/such/directory`, which is no \
             directory there; correct the path",
        );
    }

    #[test]
    fn their_exit_codes_are_those_of_scripts() {
        let codes = |contents: &[(&str, &str)]| {
            read(files(contents).path()).map(|_| ()).expect_err("an error").exit_code()
        };
        assert_eq!(codes(&[("x/", "")]), 10);
        assert_eq!(codes(&[("alembic.ini", "[alembic]\nscript_location = gone\n")]), 10);
        assert_eq!(codes(&[("versions/", "")]), 10);
        assert_eq!(codes(&[("versions/a.py", "revision = f()")]), 20);
        assert_eq!(codes(&[("versions/a.py", "revision = down_revision = 'a'")]), 20);
    }
}
