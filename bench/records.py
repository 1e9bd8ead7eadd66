"""Records: what one run of one suite has measured, as JSON in bench/records/. docs/performance.md is made from them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from .runner import Row

COMMON = ("group", "unit", "threads", "rate", "ours")  # of all rows of a table
FOLDER = Path(__file__).with_name("records")


def save(folder: Path, command: str, date: str, results: list[dict]) -> list[Path]:
    """A file <cpu>-<suite>.json for each suite in `results`, which are what the processes of one command have measured."""
    first = results[0]
    found = [row for result in results for row in result["rows"]]
    written = []
    for suite in dict.fromkeys(row["suite"] for row in found):
        head = {
            "suite": suite, "cpu": first["cpu"], "isa": first["isa"], "revision": revision(), "date": date, "command": bare(command),
            "busy": "; ".join(dict.fromkeys(filter(None, (r["busy"] for r in results)))), "versions": first["versions"],
            "runs": [{"threads": r["threads"], "peak": rounded(r["peak"])} for r in results],
        }  # fmt: skip
        path = folder / f"{re.sub('[^a-z0-9]+', '-', first['cpu'].lower()).strip('-')}-{suite}.json"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text(head, [row for row in found if row["suite"] == suite]))
        written.append(path)
    return written


def bare(command: str) -> str:
    """Without what does not change the figures."""
    return re.sub(r" --(check|record( [^- ]\S*)?|json \S+)(?= |$)", "", command)


def text(head: dict[str, Any], rows: list[dict]) -> str:
    """What a page needs of the rows, as tables: one line a row, without targets and commands."""
    tables: dict[str, list[dict]] = {}
    for row in rows:
        tables.setdefault(json.dumps({name: row[name] for name in COMMON})[1:-1], []).append(row)
    parts = []
    for common, members in tables.items():
        names = list(dict.fromkeys(name for row in members for name in row["values"]))
        lines = [
            [r["case"], rounded(r["peak_percent"]), *(rounded(r["values"].get(n)) for n in names)] for r in members
        ]
        parts.append(
            f' {{{common}, "columns": {json.dumps(names)}, "rows": [\n' + ",\n".join(map(json.dumps, lines)) + "]}"
        )
    return f'{json.dumps(head, indent=1)[:-2]},\n "tables": [\n' + ",\n".join(parts) + "\n ]\n}\n"


def rounded(value: Any) -> Any:
    """Floats to four digits."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def load(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """All records, by processor; their rows as Rows."""
    result = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    for record in result:
        record["rows"] = [
            Row(case=case, values={n: v for n, v in zip(table["columns"], values) if v is not None}, peak_percent=percent,
                suite=record["suite"], **{name: table[name] for name in COMMON})
            for table in record.pop("tables") for case, percent, *values in table["rows"]
        ]  # fmt: skip
    return result


def revision() -> str:
    """Of the code that is measured; a + says that it was changed since."""
    git = ["git", "-C", str(FOLDER.parent)]
    try:
        found = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout
        changed = subprocess.run([*git, "diff", "HEAD", "--quiet", "--", "../csrc", "../python"]).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.strip() + "+" * bool(changed)
