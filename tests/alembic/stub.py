"""Lets revision files be imported without the applications that they belong to.

Every module but those of Python, SQLAlchemy and Alembic is replaced by one whose names can be called,
subclassed, iterated and calculated with, and mean nothing. A few modules that give revisions their
labels are real.
"""
import importlib.machinery
import importlib.util
import os
import sys

import sqlalchemy
import sqlalchemy.engine
import sqlalchemy.ext.declarative
import sqlalchemy.orm


class Subclassable:
    """What stands for a base class that is not here."""

    def __init_subclass__(cls, **_options):
        pass


class Anything:
    """Has every attribute, can be called, subclassed, iterated and calculated with."""

    __dataclass_fields__ = {}

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__") or name == "is_clause_element":
            raise AttributeError(name)
        return Anything()

    def __call__(self, *arguments, **options):
        # A decorator gives back what it decorates.
        if len(arguments) == 1 and not options and callable(arguments[0]):
            return arguments[0]
        return Anything()

    def __getitem__(self, _key):
        return Anything()

    def __iter__(self):
        return iter(())

    def __mro_entries__(self, bases):
        return (Subclassable,) if bases[0] is self else ()

    def __instancecheck__(self, _instance):
        return False

    def __fspath__(self):
        return os.devnull

    def __len__(self):
        return 0

    def __bool__(self):
        return True

    def __clause_element__(self):
        return sqlalchemy.Column("anything")

    def __hash__(self):
        return id(self)


for operator in "add sub mul mod truediv floordiv and or xor eq ne lt gt le ge".split():
    for side in ("", "r"):
        setattr(Anything, f"__{side}{operator}__", lambda self, _other: Anything())

REAL = {"alembic", "mako", "markupsafe", "sqlalchemy", "typing_extensions"} | sys.stdlib_module_names


class Stub:
    """Finds every module but those of Python, SQLAlchemy and Alembic."""

    @staticmethod
    def find_spec(name, _path=None, _target=None):
        if name.split(".")[0] in REAL:
            return None
        return importlib.machinery.ModuleSpec(name, Stub, is_package=True)

    @staticmethod
    def create_module(spec):
        module = type(sys)(spec.name)
        module.__path__ = []

        def attribute(name):
            if name.startswith("__") and name not in ("__version__", "__file__"):
                raise AttributeError(name)
            return "0" if name.startswith("__") else Anything()

        module.__getattr__ = attribute
        return module

    @staticmethod
    def exec_module(_module):
        pass


# Modules that say something of revisions, by the package that has them.
KNOWN = {"glance": "glance.db.migration", "neutron": "neutron.db.migration.cli"}


def install(package=None):
    """Replaces modules from now on; those of one package, which is a directory, may be real."""
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Stub)
    # What releases of SQLAlchemy other than ours have.
    for module in (sqlalchemy, sqlalchemy.engine, sqlalchemy.orm):
        module.__getattr__ = missing

    # Mapping classes by the rules of another release fails, and does not matter here.
    def declarative_base(*_arguments, **_options):
        table = classmethod(lambda _cls: sqlalchemy.table("anything"))
        names = {
            "metadata": sqlalchemy.MetaData(),
            "__table__": Anything(),
            "__clause_element__": table,
        }
        return type("Base", (Subclassable,), names)

    sqlalchemy.orm.declarative_base = declarative_base
    sqlalchemy.ext.declarative.declarative_base = declarative_base
    known = KNOWN.get(os.path.basename(package or ""))
    if known:
        parent, _, name = known.rpartition(".")
        path = os.path.join(package, *known.split(".")) + ".py"
        spec = importlib.util.spec_from_file_location(known, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[known] = module
        setattr(importlib.import_module(parent), name, module)


def missing(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything()
