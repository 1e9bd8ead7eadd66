"""docs/performance.md, made from page.md and the records: `<!-- suite -->` becomes the tables of that suite's records."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import Any

from . import records
from .report import groups, peaks, pipes

TEMPLATE = Path(__file__).with_name("page.md")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

# what `python -m bench record` runs: some twenty minutes on an idle machine
SUITES = {
    "steps": "--threads 1,2 --dtype float32",
    "inference": "--threads 1,2",
    "convolutions": "--threads 1 --dtype float32",
    "sequences": "--threads 1",
    "memory": "--threads 1",
    "compress": "--threads 1",
    "overhead": "--threads 1",
    "products": "--threads 1,2 --dtype float32",
    "tune": "--threads 1,2 --dtype float32",
    "sweep": "--threads 1,2",
    "optimizers": "--threads 1,2",
    "chains": "--threads 1",
    "threads": "--threads 2",
    "reads": "--threads 1",
}


def page(found: list[dict[str, Any]]) -> str:
    """The text of the page."""

    def tables(match: re.Match) -> str:
        return "\n\n".join(section(r) for r in found if r["suite"] == match[1]) or "No record yet."

    commands = "\n".join(f"python -m bench {suite} {options} --record" for suite, options in SUITES.items())
    return re.sub(r"<!-- (\w+) -->", tables, TEMPLATE.read_text().replace("<!-- commands -->", commands))


def section(record: dict[str, Any]) -> str:
    """Stamp and tables of one record."""
    lines = [f"### {record['cpu']}: {record['suite']}", "", stamp(record)]
    module = import_module(f".{record['suite']}", __package__)
    rows = module.summary(record["rows"]) if hasattr(module, "summary") else record["rows"]
    for group, (head, *body) in groups(rows):
        lines += ["", f"{group[0].upper()}{group[1:]}:", "", pipes(head), "|" + "---|" * len(head), *map(pipes, body)]
    return "\n".join(lines)


def stamp(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    parts = [f"`{record['command']}`", f"revision {record['revision']}, {record['date']}, {record['isa']}", versions]
    parts += [peaks(run) for run in record["runs"]]
    busy = f" **Busy machine** ({record['busy']})." if record["busy"] else ""
    return fill(". ".join(filter(None, parts)) + "." + busy, 118, break_long_words=False, break_on_hyphens=False)


def render(check: bool) -> str:
    """Writes the page, or says what is wrong with it."""
    new = page(records.load())
    if not check:
        PAGE.write_text(new)
    elif PAGE.read_text() != new:
        return "docs/performance.md is not what bench/records/ and bench/page.md give: python -m bench render"
    return ""
