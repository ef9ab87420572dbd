"""Creates the first user of an Argilla server, as its own start script does, but for what that shows.

From the environment: USERNAME, PASSWORD, and if they are set API_KEY and WORKSPACE. The user is an
owner. One that is there already is left as it is, so this may be run again.

Argilla's command wants the password as an argument, which every process list shows; on an error it
prints all local variables, the password among them, and on success the key. Here the same function is
called from inside, and of what it says only the outcome is told.
"""

import contextlib
import io
import os
import sys
import traceback

from pydantic import ValidationError

from argilla_server.cli.database.users.create import create
from argilla_server.models import UserRole

# What Argilla calls it, and where it came from.
VARIABLES = {
    "first_name": "USERNAME", "username": "USERNAME", "password": "PASSWORD",
    "api_key": "API_KEY", "name": "WORKSPACE",
}  # fmt: skip


def main():
    name, password = os.environ.get("USERNAME"), os.environ.get("PASSWORD")
    if not name or not password:
        return "needs USERNAME and PASSWORD"
    key, workspace = os.environ.get("API_KEY"), os.environ.get("WORKSPACE")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            create(
                first_name=name, username=name, role=UserRole.owner, password=password,
                last_name=None, api_key=key or None, workspace=[workspace] if workspace else [],
            )  # fmt: skip
    except ValidationError as invalid:
        # Without the input, which the text of the error has in it.
        faults = {(VARIABLES.get(str(one["loc"][-1]), one["loc"][-1]), one["msg"]) for one in invalid.errors()}
        return "; ".join(f"{variable}: {message}" for variable, message in sorted(faults))
    except OSError as failed:
        return f"cannot reach the database: {failed}"
    except Exception as failed:
        # Where, but not what: the text of a database's error has the row in it.
        traceback.print_tb(failed.__traceback__)
        return f"{type(failed).__name__}, whose text is not shown since it may hold the password"
    if "already exists" not in said.getvalue():
        print(f"first_user: created `{name}`")
    elif key and repr(key) in said.getvalue():
        # As where somebody has renamed the user since: no reason to keep the server from starting.
        print(f"first_user: API_KEY belongs to somebody, so `{name}` is not created")
    else:
        print(f"first_user: `{name}` is there already")


if __name__ == "__main__":
    fault = main()
    if fault:
        sys.exit(f"first_user: {fault}")
