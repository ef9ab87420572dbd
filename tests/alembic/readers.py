"""Compares prelaunch's reading of Alembic environments with that of Alembic's own loader.

    readers.py READER DIRECTORY...

First the environments of traps.py, then public ones. READER is the program that examples/alembic.rs
makes. Each DIRECTORY is an unpacked package, in which
every environment is found and loaded with Alembic: with its own settings where some lead to it,
else by its directory. Revision files are really run, but what they import besides SQLAlchemy and
Alembic is replaced by something that can be called, subclassed and iterated, and means nothing.

Revisions, parents, labels, dependencies, titles and heads must be the same. An environment that
Alembic cannot load must not be read either, and one that prelaunch cannot read without Python must be
the same when Python is asked.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import alembic
import stub
from alembic.config import Config
from alembic.script import ScriptDirectory
from traps import write as traps_written


def environments(package):
    """The directories of `env.py` that are Alembic's, and version locations beside them."""
    for env in sorted(package.rglob("env.py")):
        text = env.read_text(errors="replace")
        if "alembic" not in text and "run_migrations" not in text:
            continue
        directory = env.parent
        if holds_revisions(directory / "versions"):
            yield directory
        settings = settings_of(directory, package)
        if settings and settings.get_alembic_boolean_option("recursive_version_locations"):
            yield directory
            continue
        # Several chains beside each other, of which each run names one.
        for place in (directory, directory / "versions"):
            for inner in sorted(place.iterdir()) if place.is_dir() else []:
                if inner.name != "versions" and holds_revisions(inner):
                    yield inner


def holds_revisions(directory):
    texts = (file.read_text(errors="replace") for file in directory.glob("*.py"))
    return any(re.search("^down_revision", text, re.M) for text in texts)


def settings_of(directory, package):
    """The ini or TOML that leads to a directory, with the place from which it does."""
    for above in [directory, *directory.parents]:
        if not above.is_relative_to(package):
            break
        for ini in [above / "alembic.ini", *sorted(above.glob("*.ini"))]:
            if not ini.is_file():
                continue
            os.chdir(above)
            try:
                config = Config(str(ini))
                location = config.get_main_option("script_location") or ""
                if ":" in location:
                    # Alembic would import the package, and with it the whole application.
                    inner = package.joinpath(*location.replace(".", "/").split(":"))
                    config.set_main_option("script_location", str(inner))
                script = ScriptDirectory.from_config(config)
                places = [Path(script.dir), *script._version_locations]
                if any(place.resolve() == directory.resolve() for place in places):
                    return config
            except Exception:
                continue
    return None


def theirs(directory, package):
    config = settings_of(directory, package)
    if config is not None:
        script = ScriptDirectory.from_config(config)
    elif (directory / "versions").is_dir():
        script = ScriptDirectory(str(directory))
    else:
        script = ScriptDirectory(str(directory.parent), version_locations=[str(directory)])
    return described(script)


def described(script):
    revisions = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        script.revision_map._revision_map
    for one in script.walk_revisions():
        lines = one.doc.splitlines()
        revisions[one.revision] = {
            "parents": names(one.down_revision),
            "depends_on": [name for name in names(one.dependencies) if name],
            "labels": sorted(name for name in names(getattr(one.module, "branch_labels", None)) if name),
            "title": lines[0].rstrip() if lines else "",
        }
    return {"revisions": revisions, "heads": sorted(script.get_heads())}


def names(value):
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def ours(reader, directory, *options):
    done = subprocess.run([reader, directory, *options], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()
    answer = json.loads(done.stdout)
    revisions = {
        one["id"]: {
            "parents": one["parents"],
            "depends_on": one["depends_on"],
            "labels": sorted(one["labels"]),
            "title": one["title"],
        }
        for one in answer["revisions"]
    }
    return {"revisions": revisions, "heads": sorted(answer["heads"])}, None


def differences(mine, other):
    for id in sorted(mine["revisions"].keys() | other["revisions"].keys(), key=str):
        one, two = mine["revisions"].get(id), other["revisions"].get(id)
        if one != two:
            yield f"{id}: prelaunch {one}, Alembic {two}"
    if mine["heads"] != other["heads"]:
        yield f"heads: prelaunch {mine['heads']}, Alembic {other['heads']}"


def composed(package, work):
    """Environments that applications put together when they run, as settings of ours."""
    inis = {}
    if package.name == "neutron":
        location = package / "neutron/db/migration/alembic_migrations"
        inis["neutron"] = f"script_location = {location}\nrecursive_version_locations = true\n"
    if package.name == "invenio-db":
        # Each package has a branch, and depends on revisions of the others.
        places = sorted(package.parent.glob("invenio-*/invenio_*/alembic"))
        lines = "".join(f"\n    {place}" for place in places)
        inis["invenio"] = (
            f"script_location = {package}/invenio_db/alembic\npath_separator = newline\n"
            f"version_locations ={lines}\n"
        )
    for name, text in inis.items():
        directory = work / name
        directory.mkdir()
        (directory / "alembic.ini").write_text(f"[alembic]\n{text}")
        yield directory


def loaded(directory, package):
    if package and directory.is_relative_to(package):
        return theirs(directory, package)
    os.chdir(directory)
    config = Config("alembic.ini", toml_file="pyproject.toml")
    return described(ScriptDirectory.from_config(config))


def compared(reader, python, directory, package):
    """What became of one environment: a word, and more about it."""
    mine, error = ours(reader, directory)
    try:
        other = loaded(directory, package)
    except (Exception, SystemExit):
        reason = traceback.format_exc().strip().splitlines()[-1]
        if mine is None:
            return "refused by both", [error, reason], 0
        return "DIFFERENT", [f"Alembic cannot load it: {reason}"], 0
    lines, word = [], "same"
    if mine is None:
        lines, word = [error], "same when asked"
        mine, error = ours(reader, directory, "--ask", python)
    found = [error] if mine is None else list(differences(mine, other))
    return ("DIFFERENT" if found else word), lines + found, len(other["revisions"])


class Tally:
    def __init__(self, reader, python):
        self.reader, self.python = reader, python
        self.counts, self.revisions = {}, 0

    def add(self, name, directory, package=None):
        word, lines, count = compared(self.reader, self.python, directory, package)
        print(f"{word:<15}  {name}: {count}", *lines, sep="\n    ")
        self.counts[word] = self.counts.get(word, 0) + 1
        self.revisions += count

    def told(self, of):
        counts = ", ".join(f"{count} {word}" for word, count in sorted(self.counts.items()))
        print(f"{of}: {counts}; {self.revisions} revisions, Alembic {alembic.__version__}")
        return "DIFFERENT" not in self.counts and "same" in self.counts


def main(reader, packages):
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        traps = Tally(reader, sys.executable)
        for directory in traps_written(work / "traps"):
            traps.add(directory.name.replace("_", " "), directory)
        # For the Python that is asked, which has to be without the applications too.
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        python = work / "python"
        python.write_text(
            f"#!/bin/sh\nshift\nscript=$1\nshift\n"
            f'exec "{sys.executable}" -c "import os, stub; stub.install(os.environ[\'PACKAGE\'])\n$script" "$@"\n'
        )
        python.chmod(0o755)
        public = Tally(reader, python)
        for package in packages:
            os.environ["PACKAGE"] = str(package)
            stub.install(str(package))
            for directory in environments(package):
                public.add(directory.relative_to(package.parent), directory, package)
            for directory in composed(package, work):
                public.add(directory.name, directory)
        os.chdir("/")
        right = traps.told("traps"), public.told("public environments")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], [Path(path).resolve() for path in sys.argv[2:]]))
