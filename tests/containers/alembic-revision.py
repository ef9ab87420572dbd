"""The one revision of the Alembic image that figures.py measures beside ours."""

from alembic import op

revision = "aaaa"
down_revision = None


def upgrade():
    op.execute("create table alembic_demo (a integer)")


def downgrade():
    op.execute("drop table alembic_demo")
