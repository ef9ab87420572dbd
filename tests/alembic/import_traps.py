"""Small environments full of what makes a revision hard to write down, and what becomes of each.

`CASES` maps a name to a revision: the bodies of `upgrade` and `downgrade`, what stands above them,
and for each engine and direction how its section is had: `offline`, `recorded`, `absent` or
`refused`. All revisions of a case are imported together, in the order in which they stand.
"""

ENV = '''\
from alembic import context
{above}
def run():
    context.configure(url="{url}", target_metadata=None)
    with context.begin_transaction():
{before}        context.run_migrations()
if context.is_offline_mode():
    run()
else:
    raise SystemExit("this environment has no database")
'''

HEADER = '''\
"""{title}

Create Date: 2024-05-0{number} 10:00:00.123456
"""
from alembic import op, context
import sqlalchemy as sa
{above}
revision = "r{number}"
down_revision = {parent!r}
branch_labels = None
depends_on = None

def upgrade():
{up}
'''

DOWN = '''
def downgrade():
{down}
'''


class Revision:
    """A revision, and what is expected of it: `how` is `up`, `down` for both engines, or a map from
    `postgres` and `sqlite` to such pairs."""

    def __init__(self, up, down="pass", above="", how=("offline", "offline"), title="a trap", words=""):
        self.up, self.down, self.above, self.title, self.words = up, down, above, title, words
        self.how = how if isinstance(how, dict) else {"postgres": how, "sqlite": how}

    def text(self, number):
        indent = lambda body: "\n".join("    " + line for line in body.strip("\n").split("\n"))
        parent = f"r{number - 1}" if number > 1 else None
        text = HEADER.format(
            title=self.title, number=number, parent=parent, above=self.above, up=indent(self.up)
        )
        return text if self.down is None else text + DOWN.format(down=indent(self.down))


TABLE = Revision(
    "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text),\n"
    "    sa.Column('size', sa.Integer, server_default='7'))",
    "op.drop_table('t')",
)

RECORDED = ("recorded", "offline")
REFUSED = ("refused", "offline")

INSPECTING = Revision("sa.inspect(op.get_bind()).get_table_names()", how=REFUSED)

CASES = {
    # Texts that a dialect, a template or a splitter could spoil. The rows are compared too.
    "texts": [
        TABLE,
        Revision(
            """
t = sa.table('t', sa.column('id', sa.Integer), sa.column('name', sa.Text))
op.bulk_insert(t, [
    {'id': 1, 'name': "it's 100% a \\ and a \\t tab; -- no comment"},
    {'id': 2, 'name': 'a\\nline and {braces} $1 ? %s %(x)s :y'},
    {'id': 3, 'name': None},
])
op.execute("update t set name = name || ' -- x;' where id = 1 -- and why")
op.execute("update t set size = 8 where name like '100%'")
op.execute("update t set size = 9 where id = 2")
op.execute(t.update().where(t.c.id == 3).values(name='Größe 表'))
""",
            "op.execute('delete from t')",
        ),
    ],
    # What holds semicolons, per engine.
    "bodies": [
        TABLE,
        Revision(
            """
if op.get_context().dialect.name == 'sqlite':
    op.execute("create trigger x after insert on t begin update t set size = 1; end")
else:
    op.execute("create function f() returns int language plpgsql as $x$ begin return 1; end $x$;")
    op.execute("select setval(pg_get_serial_sequence('t', 'id'), 40)")
""",
            """
if op.get_bind().dialect.name == 'sqlite':
    op.execute("drop trigger x")
else:
    op.execute("drop function f()")
""",
        ),
    ],
    # Outside of a transaction, in Alembic's way and in that of those who do not know it.
    "autocommit": [
        TABLE,
        Revision(
            """
with op.get_context().autocommit_block():
    op.create_index('t_name', 't', ['name'], postgresql_concurrently=True)
""",
            """
with op.get_context().autocommit_block():
    op.drop_index('t_name', 't', postgresql_concurrently=True)
""",
        ),
        Revision(
            """
if op.get_context().dialect.name == 'postgresql':
    op.execute("COMMIT")
    op.execute("create index concurrently t_size on t (size)")
""",
            "op.execute('drop index if exists t_size')",
        ),
    ],
    # What looks at the schema.
    "inspecting": [
        TABLE,
        Revision(
            """
if 'u' not in sa.inspect(op.get_bind()).get_table_names():
    op.create_table('u', sa.Column('id', sa.Integer, primary_key=True))
""",
            """
names = [c['name'] for c in sa.inspect(op.get_bind()).get_columns('u')]
if 'id' in names:
    op.drop_table('u')
""",
            how=("recorded", "recorded"),
        ),
        Revision(
            "if not context.is_offline_mode():\n"
            "    op.add_column('t', sa.Column('online', sa.Text))\n",
            "op.drop_column('t', 'online')",
            how=RECORDED,
        ),
        Revision(
            "if not op.get_context().as_sql:\n    op.add_column('t', sa.Column('on2', sa.Text))\n",
            "op.drop_column('t', 'on2')",
            how=RECORDED,
        ),
        Revision(
            """
with op.batch_alter_table('t') as batch:
    batch.alter_column('name', existing_type=sa.Text(), nullable=False)
    batch.create_check_constraint('small', sa.text("size < 100 and name <> 'a,b)'"))
""",
            """
with op.batch_alter_table('t') as batch:
    batch.drop_constraint('small', type_='check')
    batch.alter_column('name', existing_type=sa.Text(), nullable=True)
""",
            how={"postgres": ("offline", "offline"), "sqlite": ("recorded", "recorded")},
        ),
    ],
    # Statements over the connection, whose parameters have to be written out.
    "parameters": [
        TABLE,
        Revision(
            """
bind = op.get_bind()
bind.execute(sa.text("insert into t (id, name) values (:id, :name)"),
             [{'id': 1, 'name': "it's 5% ? :x"}, {'id': 2, 'name': None}])
t = sa.table('t', sa.column('id', sa.Integer), sa.column('name', sa.Text))
bind.execute(t.update().where(t.c.id.in_([1, 2])).values(name='x%y'))
bind.execute(sa.text("update t set size = 3 where name like '%y' or name = '?'"))
""",
            "op.execute('delete from t')",
            how=RECORDED,
        ),
        Revision(
            """
from sqlalchemy.orm import Session
with Session(op.get_bind()) as session:
    session.execute(sa.text("insert into t (id, name) values (:id, :name)"), {'id': 5, 'name': 'five'})
    session.flush()
""",
            "op.execute('delete from t where id = 5')",
            how=RECORDED,
        ),
    ],
    # Objects of a module that can be used once only, output on stdout, a file that is read.
    "modules": [
        Revision(
            "op.create_table('m', COLUMN, sa.Column('e', KIND))\nprint('done')",
            "op.drop_table('m')\nKIND.drop(op.get_bind(), checkfirst=False)",
            above="COLUMN = sa.Column('id', sa.Integer, primary_key=True)\n"
            "KIND = sa.Enum('a', 'b', name='kind')\nprint('loaded')",
        ),
        Revision(
            "op.execute(\"insert into m values (1, '%s')\" % open(HERE).read(0).join('ab')[:1])",
            "op.execute('delete from m')",
            above="HERE = __file__",
        ),
    ],
    # No way back, in three ways.
    "no way back": [
        Revision(TABLE.up, down=None, how=("offline", "absent")),
        Revision(
            "op.add_column('t', sa.Column('x', sa.Text))",
            "raise NotImplementedError()",
            how=("offline", "absent"),
        ),
        Revision("op.add_column('t', sa.Column('y', sa.Text))", "pass"),
    ],
    # Each of these would be right for one database only.
    "refused": [
        TABLE,
        Revision(
            """
for row in op.get_bind().execute(sa.text("select id, name from t")):
    op.execute(f"update t set name = '{row.name.upper()}' where id = {row.id}")
""",
            how=REFUSED,
            words="reads rows, which other databases have others of",
        ),
        Revision(
            """
try:
    count = op.get_bind().execute(sa.text('SELECT count(*) FROM "t"')).scalar()
except Exception:
    count = 0
if count:
    op.execute("update t set size = 0")
""",
            how=REFUSED,
            words="reads rows, which other databases have others of",
        ),
        Revision("open('/dev/null', 'w').close()", how=REFUSED, words="writes to a file"),
        Revision(
            "import uuid\nop.execute(f\"insert into t (id, name) values (9, '{uuid.uuid4()}')\")",
            "op.execute('delete from t where id = 9')",
            how=REFUSED,
            words="sends something else each time, such as the time or a random number",
        ),
        Revision(
            """
import uuid
op.get_bind().execute(sa.text("insert into t (id, name) values (8, :x)"), {'x': str(uuid.uuid4())})
""",
            "op.execute('delete from t where id = 8')",
            how=REFUSED,
            words="sends something else each time, such as the time or a random number",
        ),
        Revision(
            """
done = op.get_bind().execute(sa.text("update t set size = 1"))
if done.rowcount:
    op.execute("update t set size = 2")
""",
            how=REFUSED,
            words="decides by the outcome of a statement",
        ),
        Revision(
            "done = op.get_bind().execute(sa.text(\"insert into t (name) values ('z') returning id\"))\n"
            "op.execute(f'update t set size = {done.scalar()} where id = 1')",
            "op.execute('delete from t')",
            how=REFUSED,
            words="uses what a statement returns",
        ),
        Revision(
            """
t = sa.Table('t', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))
key = op.get_bind().execute(t.insert().values(name='k')).inserted_primary_key[0]
op.execute(f'update t set size = {key}')
""",
            "op.execute('delete from t')",
            how=REFUSED,
            words="decides by the outcome of a statement",
        ),
        Revision(
            "op.get_bind().connection.cursor().execute('update t set size = 1')",
            how=REFUSED,
            words="uses the driver directly",
        ),
        Revision(
            "op.execute(\"update t set name = '\\n-- migrate:down\\n'\")",
            how=("offline", "offline"),
            words="has SQL with a line that begins a section of a script",
        ),
    ],
    # What is not even tried. Nothing behind it can be tried either.
    "forbidden 1": [
        Revision(
            "sa.create_engine('sqlite://').connect()",
            how=REFUSED,
            words="opens a connection of its own",
        ),
        INSPECTING,
    ],
    "forbidden 2": [
        Revision(
            "import sqlite3\nsqlite3.connect(':memory:').close()",
            how=REFUSED,
            words="opens a connection of its own",
        ),
        INSPECTING,
    ],
    "forbidden 3": [
        Revision(
            "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\nexcept OSError:\n    pass",
            how=REFUSED,
            words="opens a connection of its own",
        ),
        INSPECTING,
    ],
    "forbidden 4": [
        Revision(
            "import subprocess\nsubprocess.run(['true'])", how=REFUSED, words="starts another program"
        ),
        INSPECTING,
    ],
    # What has ended one revision ends those behind it that need the same database.
    "failing": [
        TABLE,
        Revision(
            "raise SystemExit('not here')",
            how=REFUSED,
            words="fails on a scratch database: SystemExit: not here",
        ),
        Revision(
            "sa.inspect(op.get_bind()).get_table_names()",
            how=REFUSED,
            words="cannot be tried, since revision `r2` fails on a scratch database: "
            "SystemExit: not here",
        ),
    ],
    "titles": [
        Revision("pass", title="tag: 1.8"),
        Revision("pass", title="Größe: \"ß\" -- 表 %s"),
        Revision("pass", title="-- migrate:down"),
        Revision("pass", title="  "),
    ],
}
