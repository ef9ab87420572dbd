"""`alembic upgrade REVISION` in this directory, for a URL that may have a percent sign in it.

Argilla's env.py puts the URL into Alembic's settings as it is. There a `%` begins the name of another
setting; so a password that is percent-encoded ends the migration, with an error that has the URL in it.
Here it is escaped on its way in.
"""

import sys

from alembic import command
from alembic.config import Config


class Settings(Config):
    def set_main_option(self, name, value):
        super().set_main_option(name, value.replace("%", "%%"))


if __name__ == "__main__":
    command.upgrade(Settings("alembic.ini"), sys.argv[1])
