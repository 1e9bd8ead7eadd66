"""Every variant of matrix products, forced in turns: what the choice among them costs.

The *regret* of a shape is the time of the variant that is chosen over that of the best one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from statistics import mean

from . import lab
from .peak import Peak
from .runner import Row, Settings, race

SHAPES = (
    "64x64x64 256x256x256 8x784x512 32x784x128 128x512x10 1x700x2000 33x3x1000 64x2048x64 "  # --quick: these
    "1x10x128 4x2x4 32x10x64 40x40x40 90x110x70 128x128x128 200x200x200 48x200x300 7x129x513 3000x33x17 "
    "64x784x512 128x512x512 512x512x512 400x500x300 1024x1024x1024 512x4096x512 256x1024x4096 4096x64x64 100x1000x500"
).split()
QUICK = 8
LAYOUTS = ((), ("transpose_a=True",), ("transpose_b=True",))
MEAN, WORST, SUSPICIOUS = 1.15, 1.5, 1.1  # regrets: at most, and from where on one is measured again
CHOSEN = lab.CHOSEN


def cases(words: tuple[str, ...], quick: bool = False) -> list[lab.Case]:
    """Of the shapes and attributes in `words`, or of our own shapes, each layout."""
    shapes = [w for w in words if "=" not in w] or SHAPES[: QUICK if quick else None]
    attrs = [w for w in words if "=" in w]
    return [case for flags in LAYOUTS for case in lab.parse(("matmul", *shapes, *attrs, *flags))]


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    short = replace(settings, seconds=settings.budget / 5)
    for dtype in settings.dtypes:
        for case in cases(settings.words, settings.quick):
            if not settings.wants(name_of(case)):
                continue
            row = one(case, dtype, short, peak)
            if regret(row) > SUSPICIOUS:  # once more, thoroughly, before it counts
                row = one(case, dtype, settings, peak)
            rows.append(row)
    return rows


def name_of(case: lab.Case) -> str:
    return f"{case.text}, {case.layout()}"


def one(case: lab.Case, dtype: str, settings: Settings, peak: Peak) -> Row:
    arrays, flops, _, copies = lab.prepare(case, dtype, peak)
    variants = lab.variants(case, arrays, copies)
    variants.pop(lab.PACKED, None)  # which has to be asked for
    seconds = {name: s / copies for name, s in race(variants, settings).items()}
    words = " ".join([case.text, *(f"{k}={v}" for k, v in case.attrs)])
    precision = dict(case.attrs).get("precision", "highest")
    return Row(f"variants of products, {dtype}, {precision} (peers: those that are forced)", name_of(case), "us",
               {name: s * 1e6 for name, s in seconds.items()}, ours=CHOSEN, command=f"python -m bench lab matmul {words} --dtype {dtype} --threads {settings.threads}",
               peak_percent=100 * flops / peak.of(dtype) / seconds[CHOSEN])  # fmt: skip


def regret(row: Row) -> float:
    return row.values[CHOSEN] / min(row.values.values())


def summary(rows: list[Row]) -> list[Row]:
    """Mean and worst regret of each dtype, precision, layout and number of threads."""
    kinds = defaultdict(list)
    for row in rows:
        kinds[row.group.split(" (")[0], row.threads, row.case.split(", ")[1]].append(row)
    result = []
    for (group, threads, layout), members in kinds.items():
        worst = max(members, key=regret)
        values = {"shapes": len(members), "mean": mean(map(regret, members)), "worst": regret(worst)}
        case = f"{layout}; worst: {worst.case.split(',')[0]}"
        result.append(Row(f"regret: {group}", case, "", values, threads=threads))
    return result


def judge(rows: list[Row]) -> str:
    """What is wrong with the choices, or nothing."""
    if (average := mean(map(regret, rows))) > MEAN:
        return f"mean regret {average:.2f}, at most {MEAN}"
    worst = max(rows, key=regret)
    return f"regret {regret(worst):.2f}, at most {WORST}: {worst.command}" if regret(worst) > WORST else ""
