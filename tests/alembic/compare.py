"""Compares our routes with Alembic's steps on random graphs; run it by `run.sh`.

Each case is asked of both: ours has one answer (up, down, there, or an error), Alembic one for
`upgrade` and one for `downgrade`. They agree if

- our steps up are what its upgrade does, our steps down what its downgrade does: the same steps in
  the same order, or in another order in which all that a revision needs comes first, and the same
  rows in its version table at the end;
- it does nothing in the direction that we do not take;
- both refuse.

Anything else must be of a kind that is listed in `explained.py`.
"""

import argparse
import collections
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import explained
import generate
from theirs import Alembic

DIFFERENCES = Path(__file__).parents[2] / "docs/alembic-differences.md"


class Case:
    """One question, with all that either side says to it."""

    def __init__(self, graph, case, ours, alembic):
        self.revisions, self.target = graph["revisions"], case["target"]
        self.recorded, self.rows = set(case["recorded"]), case["rows"]
        self.needs = generate.needs(self.revisions)
        self.ours, self.alembic = ours, alembic
        self.up = alembic.upgrade(self.rows, self.target)
        self.down = alembic.downgrade(self.rows, self.target)

    def verdict(self):
        if unsound := self.unsound():
            return f"UNSOUND: {unsound}"
        if agreed := self.agreed():
            return agreed
        kind = explained.kind(self)
        return f"explained: {kind}" if kind else "UNEXPLAINED"

    def unsound(self):
        """What is wrong with our answer, whatever Alembic says."""
        if "error" in self.ours:
            return None
        steps, way = self.ours["steps"], self.ours["way"]
        after = self.recorded | set(steps) if way == "up" else self.recorded - set(steps)
        if len(set(steps)) != len(steps) or (way == "there") != (not steps):
            return "steps"
        if (way == "up") != (not self.recorded.issuperset(steps)) and steps:
            return "direction"
        if any(after.isdisjoint([one]) for name in after for one in self.needs[name]):
            return "something is left without what it needs"
        if not self.is_order(steps, way):
            return "order"
        tips = lambda ids: generate.tips(self.needs, ids)
        if set(self.ours["from"]) != tips(self.recorded) or set(self.ours["to"]) != tips(after):
            return "heads"
        return None

    def is_order(self, steps, way):
        place = {name: at for at, name in enumerate(steps if way == "up" else reversed(steps))}
        return all(place[one] < place[name] for name in place for one in self.needs[name] if one in place)

    def agreed(self):
        """How they agree, or None."""
        if "error" in self.ours:
            both = self.up.refused() and self.down.refused()
            return f"both refuse: {self.ours['error']}" if both else None
        way = self.ours["way"]
        if way == "there":
            idle = not self.up.refused() and not self.down.refused()
            return "nothing to do" if idle and not self.up.steps and not self.down.steps else None
        same, other = (self.up, self.down) if way == "up" else (self.down, self.up)
        if same.refused() or not (other.refused() or not other.steps):
            return None
        return self.same_steps(same)

    def same_steps(self, theirs):
        ours, way = self.ours, self.ours["way"]
        if set(theirs.steps) != set(ours["steps"]) or theirs.rows != set(ours["to"]):
            return None
        if theirs.steps == ours["steps"]:
            return f"same steps, {way}"
        return f"another valid order, {way}" if self.is_order(theirs.steps, way) else None

    def show(self):
        def node(one):
            text = one["id"] + ("<-" + "+".join(one["parents"]) if one["parents"] else "")
            text += "".join(f" ^{name}" for name in one["depends_on"])
            return text + "".join(f" [label={name}]" for name in one["labels"])

        said = lambda outcome: outcome.error or f"{' '.join(outcome.steps)} -> {sorted(outcome.rows)}"
        print(f"  graph     {'; '.join(node(one) for one in self.revisions)}")
        print(f"  rows      {' '.join(self.rows)}   (applied: {' '.join(sorted(self.recorded))})")
        print(f"  target    {self.target}")
        print(f"  ours      {json.dumps(self.ours)}")
        print(f"  upgrade   {said(self.up)}")
        print(f"  downgrade {said(self.down)}")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("program", help="the example `plan`, built")
    options.add_argument("--cases", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--show", help="print cases of the verdicts that contain this")
    options.add_argument("--at-most", type=int, default=10, help="how many cases are printed")
    options = options.parse_args()

    undocumented = [name for name in explained.KINDS if f"### {name}\n" not in DIFFERENCES.read_text()]
    assert not undocumented, f"not in {DIFFERENCES}: {undocumented}"

    graphs = list(generate.cases(options.seed, options.cases))
    questions = "".join(json.dumps(graph) + "\n" for graph in graphs)
    program = subprocess.run([options.program], input=questions, stdout=subprocess.PIPE, text=True, check=True)
    answers = iter(program.stdout.splitlines())

    counts, shown = collections.Counter(), 0
    for graph in graphs:
        for case in graph["cases"]:
            # A map of its own for each, since Alembic keeps things in it.
            case = Case(graph, case, json.loads(next(answers)), Alembic(graph["revisions"]))
            verdict = case.verdict()
            counts[verdict] += 1
            wanted = verdict.startswith("UN") or options.show and options.show in verdict
            if wanted and shown < options.at_most:
                shown += 1
                print(verdict)
                case.show()
    assert next(answers, None) is None, "more answers than questions"

    print(f"{sum(counts.values())} cases, seed {options.seed}, Alembic {version('alembic')}")
    for verdict, count in sorted(counts.items()):
        print(f"{count:7}  {verdict}")
    sys.exit(any(verdict.startswith("UN") for verdict in counts))


if __name__ == "__main__":
    main()
