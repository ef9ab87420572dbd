"""Random graphs, states and targets: the same ones for the same seed, on every machine."""

import random

WORDS = "core billing audit search queue users label cache media graph report mail".split()


def graph(rng):
    """Revisions in the order in which both sides are given them."""
    size = rng.choice([rng.randint(1, 6), rng.randint(4, 14), rng.randint(10, 30)])
    ids = names(rng, size)
    merges, forks = rng.choice([0, 0.1, 0.3]), rng.choice([0.05, 0.3, 0.7])
    depends, labelled, roots = rng.choice([0, 0.1, 0.3]), rng.choice([0, 0.15, 0.4]), rng.choice([0, 0.1, 0.25])
    words = rng.sample(WORDS, len(WORDS))
    revisions = []
    for at, name in enumerate(ids):
        earlier = ids[:at]
        parents = []
        if at and rng.random() >= roots:
            # Mostly lines, with forks here and there.
            recent = earlier[-1] if rng.random() >= forks else rng.choice(earlier)
            parents = [recent]
            if rng.random() < merges:
                others = [one for one in earlier if one != recent]
                parents += rng.sample(others, min(len(others), rng.choice([1, 1, 1, 2])))
        depends_on = []
        if at and rng.random() < depends:
            known = earlier + [label for one in revisions for label in one["labels"]]
            depends_on = rng.sample(known, min(len(known), rng.choice([1, 1, 2])))
        labels = []
        while words and rng.random() < labelled and len(labels) < 2:
            labels.append(words.pop())
        revisions.append({"id": name, "parents": parents, "depends_on": depends_on, "labels": labels})
    if rng.random() < 0.5:
        rng.shuffle(revisions)
    return revisions


def names(rng, size):
    """Ids as Alembic makes them, or short ones, or such that begin alike."""
    style = rng.choice(["long", "long", "alike", "short"])
    found = {}
    while len(found) < size:
        if style == "short":
            name = rng.choice("abcdefgh") + str(rng.randint(1, 99))
        else:
            name = "".join(rng.choice("0123456789abcdef") for _ in range(12))
            if style == "alike":
                name = rng.choice(["ae10", "ae1027", "ae2f", "27c6"]) + name[:6]
        found[name] = None
    return list(found)


def needs(revisions):
    """What each revision follows or depends on, as ids."""
    bearer = {label: one["id"] for one in revisions for label in one["labels"]}
    return {
        one["id"]: one["parents"] + [bearer.get(name, name) for name in one["depends_on"]]
        for one in revisions
    }


def closure(needed, ids):
    found, todo = set(), list(ids)
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(needed[one])
    return found


def tips(needed, ids):
    """The members that no other member needs: the rows of Alembic's table."""
    below = set()
    for one in ids:
        below |= closure(needed, needed[one])
    return {one for one in ids if one not in below}


def state(rng, revisions, needed):
    """All that is applied: any set of revisions, with everything that they need."""
    ids = [one["id"] for one in revisions]
    kind = rng.random()
    if kind < 0.1:
        return set()
    if kind < 0.2:
        return set(ids)
    few = rng.choice([1, 1, 2, 3, 4])
    return closure(needed, rng.sample(ids, min(len(ids), few)))


def target(rng, revisions):
    ids = [one["id"] for one in revisions]
    labels = [label for one in revisions for label in one["labels"]]
    some_id, some_label = rng.choice(ids), rng.choice(labels or ids)
    name = rng.choice([some_id, some_id, some_label, prefix(rng, some_id)])
    branch = rng.choice([some_label, some_label, some_id, prefix(rng, some_id)])
    steps = rng.choice([1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 5, 9])
    sign = rng.choice("+-")
    forms = {
        "head": 2, "heads": 4, "base": 3, "+": 8, "-": 8, "name": 20, "name±": 10, "label": 4,
        "@head": 6, "@base": 8, "@+": 10, "@-": 10, "head±": 2, "base±": 2, "prefix": 6,
        "short": 1, "stranger": 1, "part of a label": 1,
    }
    form = rng.choices(list(forms), forms.values())[0]
    return {
        "head": "head",
        "heads": "heads",
        "base": "base",
        "+": f"+{steps}",
        "-": f"-{steps}",
        "name": some_id,
        "name±": f"{name}{sign}{steps}",
        "label": some_label,
        "@head": f"{branch}@head",
        "@base": f"{branch}@base",
        "@+": f"{branch}@+{steps}",
        "@-": f"{branch}@-{steps}",
        "head±": f"head{rng.choice('---+')}{steps}",
        "base±": f"base{rng.choice('+++-')}{steps}",
        "prefix": prefix(rng, some_id),
        "part of a label": rng.choice(["{}", "{}@head", "{}+1"]).format(prefix(rng, some_label)),
        "short": some_id[: rng.randint(1, 3)],
        "stranger": rng.choice(["nowhere", "nowhere@head", "nowhere+1", "nowhere@-1", "ffffffffffff"]),
    }[form]


def prefix(rng, name):
    return name[: rng.randint(4, max(4, len(name) - 1))]


def cases(seed, count, per_graph=4):
    """Graphs with their cases, each a set of applied revisions and a target."""
    rng = random.Random(seed)
    while count:
        revisions = graph(rng)
        needed = needs(revisions)
        some = []
        for _ in range(min(per_graph, count)):
            applied = state(rng, revisions, needed)
            rows = sorted(tips(needed, applied))
            # The order of rows is the database's own.
            rng.shuffle(rows)
            some.append({"recorded": sorted(applied), "rows": rows, "target": target(rng, revisions)})
        count -= len(some)
        yield {"revisions": revisions, "cases": some}
