//! Environments of the real Alembic, laid out as the examples expect them: Agenta's four chains in two
//! databases behind one runner, and OpenRAG's one chain with branches and merges behind its command.
//!
//! The configuration files are those of `examples/`, word for word; only the directories are ours. Each
//! command appends a line to the file `ran` when Python has begun, so that a test can tell how often
//! that was.

use std::path::Path;

use crate::{cluster::variable, database::Database, postgres::Postgres, prelaunch::Prelaunch};

/// Where Agenta keeps its chains, below its own root.
pub(crate) const AGENTA: &str = "oss/databases/postgres/migrations";

/// Where OpenRAG keeps its chain.
pub(crate) const OPENRAG: &str = "openrag/services/persistence/migrations/alembic";

/// Each chain with the variable of its database, its version table where that is not Alembic's default,
/// and its revisions, the first one first. Ids are the same in several chains, as Agenta has it.
const CHAINS: [(&str, &str, &str, &[&str]); 4] = [
    ("core", "POSTGRES_URI_CORE", "", &["c1", "c2", "park00000000"]),
    ("core_oss", "POSTGRES_URI_CORE", "alembic_version_oss", &["oss000000000", "oss000000001"]),
    ("tracing", "POSTGRES_URI_TRACING", "", &["t1", "park00000000"]),
    ("tracing_oss", "POSTGRES_URI_TRACING", "alembic_version_oss", &["oss000000000"]),
];

/// The lines of the runner. `CHAINS` leaves chains out, `FIRST` is run before all others.
const RUNNER: &str = "\
import os, subprocess
from pathlib import Path

with open('ran', 'a') as ran:
    ran.write('ran\\n')
if first := os.environ.get('FIRST'):
    subprocess.run(['sh', '-c', first], check=True)

from alembic import command
from alembic.config import Config

here = Path(__file__).parent
for chain in os.environ.get('CHAINS', 'core core_oss tracing tracing_oss').split():
    command.upgrade(Config(here / chain / 'alembic.ini'), 'head')
";

/// Takes the URL as an application does: from its own variable, else from the one that is there for
/// every command.
const ENV: &str = "\
import os
import sqlalchemy as sa
from alembic import context

VERSION_TABLE = 'TABLE'
url = os.environ.get('VARIABLE') or os.environ['DATABASE_URL']
# Four slashes are an absolute path there.
kind, rest = url.split(':', 1)
url = {'sqlite': 'sqlite:////'}.get(kind, 'postgresql+psycopg2://') + rest.lstrip('/')
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
";

/// What OpenRAG's command does: the URL is put together from its parts.
const OPENRAG_RUN: &str = "\
import os
from pathlib import Path
from alembic import command
from alembic.config import Config

with open(Path(__file__).parents[4] / 'ran', 'a') as ran:
    ran.write('ran\\n')
config = Config(Path(__file__).parent / 'alembic' / 'alembic.ini')
command.upgrade(config, 'head')
";

const OPENRAG_ENV: &str = "\
import os
import sqlalchemy as sa
from alembic import context

part = lambda name: os.environ['POSTGRES_' + name]
name = os.environ.get('POSTGRES_DATABASE')
name = name or 'partitions_for_collection_' + os.environ['VDB_COLLECTION_NAME']
url = sa.URL.create('postgresql+psycopg2', part('USER'), part('PASSWORD'), part('HOST'),
                    int(part('PORT')), name)
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
";

/// A start of Agenta's image with the example's file, in the mode that is its default.
pub(crate) fn agenta(core: &dyn Database, tracing: &dyn Database) -> Prelaunch {
    let start = in_python(Prelaunch::new())
        .knows(core)
        .knows(tracing)
        .env("PRELAUNCH_CONFIG", example("agenta/prelaunch.toml"))
        .env("AGENTA_MIGRATIONS", AGENTA)
        .env("POSTGRES_URI_CORE", for_asyncpg(core))
        .env("POSTGRES_URI_TRACING", for_asyncpg(tracing));
    four_chains(start)
}

/// The files of all four chains and of their runner.
pub(crate) fn four_chains(start: Prelaunch) -> Prelaunch {
    let start = start.file(&format!("{AGENTA}/runner.py"), RUNNER);
    CHAINS.iter().fold(start, |start, (chain, variable, table, ids)| {
        let parents = [""].iter().chain(*ids);
        let start = environment(start, &format!("{AGENTA}/{chain}"), variable, table);
        ids.iter().zip(parents).fold(start, |start, (id, parent)| {
            revision(start, &format!("{AGENTA}/{chain}"), id, parent)
        })
    })
}

/// The settings of one chain, and its `env.py`.
pub(crate) fn environment(start: Prelaunch, dir: &str, variable: &str, table: &str) -> Prelaunch {
    // As Agenta has it, the path is absolute.
    let location = start.directory().join(dir);
    let env = ENV.replace("VARIABLE", variable);
    let env = match table {
        "" => env
            .replace("VERSION_TABLE = 'TABLE'\n", "")
            .replace(", version_table=VERSION_TABLE", ""),
        table => env.replace("TABLE'", &format!("{table}'")),
    };
    start
        .file(
            &format!("{dir}/alembic.ini"),
            format!("[alembic]\nscript_location = {}\n", location.display()),
        )
        .file(&format!("{dir}/env.py"), env)
        .file(&format!("{dir}/script.py.mako"), "")
}

/// A revision that makes a table, which it would fail to make twice. Several parents with commas.
pub(crate) fn revision(start: Prelaunch, dir: &str, id: &str, parents: &str) -> Prelaunch {
    let table = format!("{}_{id}", dir.rsplit('/').next().unwrap());
    start.file(
        &format!("{dir}/versions/{id}.py"),
        made_of(id, parents, &format!("op.create_table('{table}', sa.Column('n', sa.Integer))")),
    )
}

/// The text of a revision.
pub(crate) fn made_of(id: &str, parents: &str, body: &str) -> String {
    let parents: Vec<String> =
        parents.split(',').filter(|id| !id.is_empty()).map(|id| format!("'{id}'")).collect();
    let parents = match parents.as_slice() {
        [] => "None".to_owned(),
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    format!(
        "\"\"\"the revision {id}\"\"\"\nfrom typing import Sequence, Union\nimport sqlalchemy as sa\n\
         from alembic import op\n\nrevision: str = '{id}'\n\
         down_revision: Union[str, Sequence[str], None] = {parents}\n\n\
         def upgrade() -> None:\n    {body}\n\ndef downgrade() -> None:\n    pass\n"
    )
}

/// A start of OpenRAG's image with the example's file. Milvus is whatever listens.
pub(crate) fn openrag(database: &Postgres) -> Prelaunch {
    let start =
        in_python(Prelaunch::new()).knows(database).stand(env!("CARGO_MANIFEST_DIR"), "ROOT");
    let (bin, modules) = (start.directory().join("bin"), start.directory().join("openrag"));
    let port = database.server().port.to_string();
    let start = start
        .env("PATH", format!("{}:{}", bin.display(), path()))
        .env("PYTHONPATH", modules)
        .env("PRELAUNCH_CONFIG", example("openrag/prelaunch.toml"))
        .env("OPENRAG_MIGRATIONS", OPENRAG)
        .env("POSTGRES_HOST", "127.0.0.1")
        .env("POSTGRES_PORT", &port)
        .env("POSTGRES_USER", database.role())
        .env("POSTGRES_PASSWORD", database.password())
        .env("POSTGRES_DATABASE", database.name())
        .env("VDB_HOST", "127.0.0.1")
        .env("VDB_PORT", port)
        // What it does with a project is not ours to try.
        .file("bin/uv", "#!/bin/sh\nshift 2\nexec \"$@\"\n")
        .file(&format!("{OPENRAG}/../run.py"), OPENRAG_RUN)
        .file(&format!("{OPENRAG}/alembic.ini"), "[alembic]\nscript_location = %(here)s/\n")
        .file(&format!("{OPENRAG}/env.py"), OPENRAG_ENV)
        .file(&format!("{OPENRAG}/script.py.mako"), "");
    executable(&bin.join("uv"));
    // Two branches, twice.
    let revisions = [
        ("4add4d260575", ""),
        ("cd642e4502d8", "4add4d260575"),
        ("a1b2c3d4e5f6", "cd642e4502d8"),
        ("c224d4befe71", "cd642e4502d8"),
        ("cd9b84278028", "a1b2c3d4e5f6,c224d4befe71"),
        ("e7f8a9b0c1d2", "cd9b84278028"),
        ("f1a2b3c4d5e6", "e7f8a9b0c1d2"),
        ("f5b6c918f741", "e7f8a9b0c1d2"),
        ("1f53920217de", "f1a2b3c4d5e6,f5b6c918f741"),
    ];
    revisions.iter().fold(start, |start, (id, parents)| revision(start, OPENRAG, id, parents))
}

/// A URL as Agenta writes it.
pub(crate) fn for_asyncpg(database: &dyn Database) -> String {
    database.url().replace("postgres://", "postgresql+asyncpg://")
}

/// How often Python was begun by a command of a start in this directory.
pub(crate) fn ran(start: &Prelaunch) -> usize {
    std::fs::read_to_string(start.directory().join("ran")).unwrap_or_default().lines().count()
}

/// With the tests' Python and Alembic in the PATH.
pub(crate) fn in_python(start: Prelaunch) -> Prelaunch {
    start.env("PATH", path())
}

/// A file of the examples.
pub(crate) fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display().to_string()
}

fn path() -> String {
    format!("{}/bin:{}", variable("PRELAUNCH_TEST_VENV"), crate::prelaunch::PATH)
}

fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}
