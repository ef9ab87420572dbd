"""Prints the revisions of an Alembic environment as one line of JSON, and connects to nothing."""
import json
import os
import sys

# What revisions print when they are loaded is no answer.
answer = os.dup(1)
os.dup2(2, 1)

from alembic.config import Config
from alembic.script import ScriptDirectory

ini, toml, section, script_location = sys.argv[1:5]
files = {"toml_file": toml} if toml else {}
config = Config(ini or None, ini_section=section, **files)
if script_location:
    config.set_main_option("script_location", script_location.replace("%", "%%"))
if sys.argv[5:]:
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(sys.argv[5:]).replace("%", "%%"))


def names(value):
    if value is None:
        return []
    return [value] if isinstance(value, str) else [name for name in value if name]


revisions = [
    {
        "path": str(script.path),
        "id": script.revision,
        "parents": names(script.down_revision),
        "depends_on": names(script.dependencies),
        "labels": sorted(names(getattr(script.module, "branch_labels", None))),
        "doc": script.longdoc,
    }
    for script in ScriptDirectory.from_config(config).walk_revisions()
]
with os.fdopen(answer, "w", encoding="utf-8") as out:
    json.dump(revisions, out)
