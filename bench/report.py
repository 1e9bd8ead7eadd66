"""Results as text: aligned for a terminal, or as cells for the tables of docs/performance.md."""

from __future__ import annotations

from typing import Any

from .runner import Row

MARKS = {True: "met", False: "MISSED", None: "?"}


def groups(rows: list[Row]) -> list[tuple[str, list[list[str]]]]:
    """Title and cells of one table a group of rows, its head first."""
    result = []
    for group in dict.fromkeys(r.group for r in rows):
        chosen = [r for r in rows if r.group == group]
        names = list(dict.fromkeys(n for r in chosen for n in r.values))
        cells = [["case", "threads", "unit", *names, "to best peer", "% of peak", "target"]]
        for r in chosen:
            peer = r.best_peer()
            factor = r.advantage(peer) if peer else None
            cells.append([
                r.case, str(r.threads), r.unit, *(number(r.values.get(n)) for n in names),
                f"{factor:.2f}x" if factor else "", f"{r.peak_percent:.0f}%" if r.peak_percent else "",
                "; ".join(f"{text} {MARKS[met]}" for text, met in r.verdicts()),
            ])  # fmt: skip
        used = [i for i in range(len(cells[0])) if i < 2 or any(row[i] for row in cells[1:])]
        result.append((group, [[row[i] for i in used] for row in cells]))
    return result


def table(rows: list[Row]) -> str:
    lines: list[str] = []
    for group, cells in groups(rows):
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines += ["", group]
        for row in cells:
            lines.append(
                "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            )
    return "\n".join(lines).strip("\n")


def pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def peaks(result: dict[str, Any]) -> str:
    p = result["peak"]
    return (
        f"{result['threads']} thread{'s'[: result['threads'] > 1]}: {p['flops'] / 1e9:.0f} GFLOP/s in float32, "
        f"{p['flops64'] / 1e9:.0f} in float64 ({p['how']}), {p['bytes'] / 1e9:.1f} GB/s ({p['how_bytes']})"
    )


def missed(rows: list[Row]) -> str:
    """The rows that miss a target, each with the command that measures it again."""
    found = [(r, "; ".join(text for text, met in r.verdicts() if met is False)) for r in rows]
    lines = [f"  {texts}   {r.command}" for r, texts in found if texts]
    return "\n".join([f"{len(lines)} targets missed", *lines])


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
