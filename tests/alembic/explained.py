"""The differences from Alembic that are meant, each with the exact conditions under which it counts.

A name here is a heading in `docs/alembic-differences.md`, which gives the reason.
"""

import re

import generate

KINDS = {}


def explains(name):
    def add(is_one):
        KINDS[name] = is_one
        return is_one

    return add


def kind(case):
    """The first kind that the case is of, or None."""
    return next((name for name, is_one in KINDS.items() if is_one(case)), None)


def ours_is(case, error):
    return case.ours.get("error") == error


def is_there(case):
    return case.ours.get("way") == "there"


def idle(outcome):
    return not outcome.refused() and not outcome.steps


def crashed(outcome):
    return outcome.refused() and outcome.error.startswith("crashed")


def roots(case):
    return [one["id"] for one in case.revisions if not one["parents"]]


def bearers(case, name):
    """The ids that a name may stand for: exactly, or as a prefix of ids and labels."""
    exact = {one["id"]: one["id"] for one in case.revisions}
    exact |= {label: one["id"] for one in case.revisions for label in one["labels"]}
    if name in exact:
        return {exact[name]}
    return {of for known, of in exact.items() if known.startswith(name)}


def the_bearer(case, name):
    found = bearers(case, name)
    return found.pop() if len(found) == 1 else None


@explains("`-n` where the database is in several places")
def back_from_several(case):
    return re.fullmatch(r"-\d+", case.target) and len(case.rows) > 1 and ours_is(case, "SeveralPlaces")


@explains("the target is applied, and nothing follows it")
def nothing_to_drop(case):
    # Alembic refuses `downgrade` to what is applied without a row of its own.
    return is_there(case) and idle(case.up) and "not a valid downgrade target" in str(case.down.error)


@explains("`heads` or `LABEL@head` where all heads asked for are applied")
def heads_at_heads(case):
    # Its `downgrade` reads both as `head`.
    return (
        (case.target == "heads" or case.target.endswith("@head"))
        and is_there(case)
        and idle(case.up)
        and "Multiple head revisions" in str(case.down.error)
    )


@explains("`NAME-n` that leads to before the root")
def counted_to_base(case):
    # Its upgrade ends with a traceback; its downgrade takes all trees, and ours the one of NAME.
    if not (re.fullmatch(r"[^@]+-\d+", case.target) and crashed(case.up)) or case.down.refused():
        return False
    if is_there(case) and idle(case.down):
        return True
    # It agrees with ours about the base of that one tree.
    tree = case.alembic.downgrade(case.rows, f"{the_bearer(case, case.target.rpartition('-')[0])}@base")
    same = not tree.refused() and set(tree.steps) == set(case.ours.get("steps", "?"))
    return len(roots(case)) > 1 and case.down.rows == set() and same


@explains("`base-n`")
def before_base(case):
    return re.fullmatch(r"base-\d+", case.target) and ours_is(case, "TooFar")


@explains("a prefix of fewer than four characters")
def short_prefix(case):
    return ours_is(case, "ShortPrefix")


@explains("the beginning of a label")
def part_of_a_label(case):
    name = re.split(r"[@+-]", case.target)[0]
    ids = [one["id"] for one in case.revisions]
    labels = [label for one in case.revisions for label in one["labels"]]
    # Four characters or more, else it is the kind above.
    return (
        ours_is(case, "Unknown")
        and len(name) > 3
        and name not in labels
        and any(label.startswith(name) for label in labels)
        and not any(one.startswith(name) for one in ids)
    )


@explains("`LABEL@base` or `LABEL@head` with a label that names no revision, or several")
def unknown_branch(case):
    # Its `upgrade` does not look at the label of `@base`, its `downgrade` at that of `@head` not at
    # all, and at that of `@base` only where there are several trees.
    label, _, end = case.target.partition("@")
    if case.ours.get("error") not in ("Unknown", "AmbiguousPrefix", "ShortPrefix"):
        return False
    if len(bearers(case, label)) == 1:
        return False
    if end == "head":
        return case.up.refused() and idle(case.down)
    return end == "base" and idle(case.up) and (case.down.refused() or len(roots(case)) == 1)


@explains("`LABEL@-n` where nothing of the branch is applied")
def branch_not_applied(case):
    if not (ours_is(case, "NotApplied") and case.up.refused()):
        return False
    label = case.target.split("@")[0]
    return not any(generate.closure(case.needs, [one]) & bearers(case, label) for one in case.recorded)


@explains("`LABEL@-n` from a branch that forks above its label")
def branch_forks(case):
    # Its own answer to the same question by the id of the head of that branch must be ours.
    found = re.fullmatch(r"(.+)@(-\d+)", case.target)
    if not found or case.ours.get("way") != "down" or "Not a valid downgrade" not in str(case.down.error):
        return False
    label, count = found.groups()
    at = the_bearer(case, label)
    parents = {one["id"]: one["parents"] for one in case.revisions}
    tips = generate.tips(parents, {one for one in case.recorded if at in generate.closure(parents, [one])})
    asked = [case.alembic.downgrade(case.rows, f"{one}@{count}") for one in tips]
    return any(
        not one.refused()
        and set(one.steps) == set(case.ours["steps"])
        and generate.tips(case.needs, one.rows) == set(case.ours["to"])
        for one in asked
    )


def redundant(case, name):
    """Whether a revision names something that another one it names needs anyway."""
    needs = set(case.needs[name])
    return any(one in generate.closure(case.needs, case.needs[other]) for other in needs for one in needs)


def same_plan(case):
    """Alembic's outcome in our direction, if it planned what we did."""
    outcome = {"up": case.up, "down": case.down}.get(case.ours.get("way"))
    if outcome is None or set(outcome.steps or []) != set(case.ours["steps"]):
        return None
    return outcome if case.is_order(outcome.steps, case.ours["way"]) else None


@explains("its version table fails over a revision that names its parent's parent, too")
def rows_crash(case):
    outcome = same_plan(case)
    return outcome and crashed(outcome) and any(redundant(case, name) for name in outcome.steps)


@explains("its version table keeps a row too many, after such a revision")
def rows_too_many(case):
    outcome = same_plan(case)
    if not outcome or outcome.refused() or not any(redundant(case, name) for name in outcome.steps):
        return False
    rows = outcome.rows
    return rows != set(case.ours["to"]) and generate.tips(case.needs, rows) == set(case.ours["to"])
