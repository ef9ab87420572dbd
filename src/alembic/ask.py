"""Prints the revisions of an Alembic environment as one line of JSON, and connects to nothing."""
import json
import os
import sys
import traceback

# What revisions print when they are loaded is no answer.
answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def names(value):
    if value is None:
        return []
    return [value] if isinstance(value, str) else [name for name in value if name]


def asked(ini, toml, section, script_location, *version_locations):
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    files = {"toml_file": toml} if toml else {}
    config = Config(ini or None, ini_section=section, **files)
    if script_location:
        config.set_main_option("script_location", script_location.replace("%", "%%"))
    if version_locations:
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_path_separator", "os")
        config.set_main_option("version_locations", os.pathsep.join(version_locations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    return {
        "script_location": os.path.abspath(scripts.dir),
        "revisions": [
            {
                "path": str(script.path),
                "id": script.revision,
                "parents": names(script.down_revision),
                "depends_on": names(script.dependencies),
                "labels": sorted(names(getattr(script.module, "branch_labels", None))),
                "doc": script.longdoc,
            }
            # File by file: the walk through its map passes over an id that is there twice.
            for script in scripts._load_revisions()
        ],
    }


try:
    said = asked(*sys.argv[1:])
except (Exception, SystemExit) as error:
    traceback.print_exc()
    said = {"error": f"{type(error).__name__}: {error}"}
json.dump(said, answer)
answer.write("\n")
answer.close()
