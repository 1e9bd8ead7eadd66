"""One page of HTML with all that a report has: table, roofline, shares of time. It loads nothing from anywhere."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from .picture import points

if TYPE_CHECKING:
    from .report import Report

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: pre; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
svg { width: 100%; height: auto; } text { font: 12px system-ui, sans-serif; fill: #222; }
.bar { fill: #4878a8; } .dot { fill: #4878a8; fill-opacity: .7; } .roof { fill: none; stroke: #b04a3a; stroke-width: 2; }
.grid { stroke: #ddd; }
"""
_WIDTH, _HEIGHT, _EDGE = 900, 420, 60
_BAR = 22


def page(report: Report) -> str:
    """The page."""
    head, *rows = report.rows()
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in report.notes())
    what = "A step of training" if report.train else "A forward pass"
    pictures = ""
    if points(report) and report.machine is not None:
        pictures = (
            f"<h2>Roofline, measured</h2>\n{_roofline(report)}\n<h2>Share of the time, measured</h2>\n{_shares(report)}"
        )
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>What it costs</title><style>{_STYLE}</style></head>
<body>
<h1>{what}: what it costs</h1>
<ul>
{notes}
</ul>
<table>
<thead><tr>{cells}</tr></thead>
<tbody>
{lines}
</tbody>
</table>
{pictures}
</body>
</html>
"""


def _roofline(report: Report) -> str:
    """Operations a second over operations a byte, both logarithmic, under the machine's peaks."""
    found, best = points(report), report.machine
    assert best is not None
    left = math.floor(math.log10(min(0.1, *(x for _, x, _, _ in found))))
    right = math.ceil(math.log10(max(1000.0, *(x for _, x, _, _ in found))))
    top = math.ceil(math.log10(max(best.flops, *(y for _, _, y, _ in found))))
    bottom = math.floor(math.log10(min(y for _, _, y, _ in found)))

    def across(x: float) -> float:
        return _EDGE + (math.log10(x) - left) / (right - left) * (_WIDTH - 2 * _EDGE)

    def down(y: float) -> float:
        return _HEIGHT - _EDGE - (math.log10(y) - bottom) / (top - bottom) * (_HEIGHT - 2 * _EDGE)

    parts = []
    for power in range(left, right + 1):
        x = across(10.0**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_EDGE}" x2="{x:.1f}" y2="{_HEIGHT - _EDGE}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _EDGE + 18}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(bottom, top + 1):
        y = down(10.0**power)
        parts.append(f'<line class="grid" x1="{_EDGE}" y1="{y:.1f}" x2="{_WIDTH - _EDGE}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_EDGE - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0 ** (power - 9):g}</text>')
    for bandwidth in (best.memory_bandwidth, best.cache_bandwidth):
        start = max(10.0**left, 10.0**bottom / bandwidth)
        corners = [(start, start * bandwidth), (best.flops / bandwidth, best.flops), (10.0**right, best.flops)]
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in corners)
        parts.append(f'<polyline class="roof" points="{line}"/>')
    for name, x, y, share in found:
        at = f'cx="{across(x):.1f}" cy="{down(y):.1f}"'
        parts.append(
            f'<circle class="dot" {at} r="{4 + 12 * math.sqrt(share):.1f}"><title>{escape(name)}</title></circle>'
        )
        parts.append(f'<text x="{across(x) + 8:.1f}" y="{down(y) - 6:.1f}">{escape(name)}</text>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 16}" text-anchor="middle">FLOP a byte moved</text>')
    parts.append(f'<text x="{_EDGE}" y="{_EDGE - 14}" text-anchor="middle">GFLOP/s</text>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="roofline">{"".join(parts)}</svg>'


def _shares(report: Report) -> str:
    """A bar for each layer."""
    total = sum(row["seconds"] or 0.0 for row in report.layers.values())
    rows = [(name, row["seconds"] / total) for name, row in report.layers.items() if row["seconds"]]
    parts = []
    for i, (name, share) in enumerate(rows):
        y = i * _BAR
        parts.append(f'<text x="240" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar" x="250" y="{y + 3}" width="{550 * share:.1f}" height="{_BAR - 6}"/>')
        parts.append(f'<text x="{256 + 550 * share:.1f}" y="{y + 15}">{100 * share:.1f} %</text>')
    height = max(len(rows), 1) * _BAR
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="share of the time">{"".join(parts)}</svg>'
