"""What Alembic itself does: its own planning and its own keeping of the version table, in memory."""

import tempfile
import warnings
from types import SimpleNamespace
from unittest import mock

from alembic.runtime.migration import HeadMaintainer
from alembic.script import ScriptDirectory
from alembic.script.revision import Revision, RevisionMap
from alembic.util import CommandError

warnings.simplefilter("ignore")


class Scriptless(Revision):
    """A revision without a file; the steps want functions, which nobody calls."""

    module = SimpleNamespace(upgrade=None, downgrade=None)


class Outcome(SimpleNamespace):
    """`steps` and `rows` after them, or `error`, which may come after `steps` were planned."""

    def refused(self):
        return self.error is not None


class Alembic:
    directory = tempfile.TemporaryDirectory()

    def __init__(self, revisions):
        def make():
            return [
                Scriptless(
                    one["id"],
                    tuple(one["parents"]) or None,
                    dependencies=tuple(one["depends_on"]) or None,
                    branch_labels=tuple(one["labels"]) or None,
                )
                for one in revisions
            ]

        self.scripts = ScriptDirectory(self.directory.name)
        self.scripts.revision_map = RevisionMap(make)

    def upgrade(self, rows, target):
        return self.run(self.scripts._upgrade_revs, rows, target)

    def downgrade(self, rows, target):
        return self.run(self.scripts._downgrade_revs, rows, target)

    @staticmethod
    def run(plan, rows, target):
        steps = None
        try:
            planned = plan(target, tuple(rows))
            steps = [step.revision.revision for step in planned]
            keeper = HeadMaintainer(mock.Mock(), rows)
            for step in planned:
                keeper.update_to_step(step)
            return Outcome(steps=steps, rows=set(keeper.heads), error=None)
        except CommandError as error:
            return Outcome(steps=steps, rows=None, error=f"refused: {error}")
        # Whatever else ends an Alembic command ends it with a traceback.
        except Exception as error:
            return Outcome(steps=steps, rows=None, error=f"crashed: {error!r}")
