"""python -m bench [group ...]: Ranvier beside its peers, on this machine, now.

Only ratios within one run mean something: all contenders of a case take turns in one process, with the same number of
threads (and that many processors), on data that is theirs already.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module

from .peers import environment_for, pin
from .runner import Row, Settings, Target, environment, table

GROUPS = ("steps", "overhead", "kernels")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="shorter turns, smaller arrays, no torch.compile")
    parser.add_argument("--threads", default="1", help="numbers of threads, such as 1,2; each in a process of its own")
    parser.add_argument("--quantile", type=float, default=0.5, help="of a contender's times; less on a busy machine (0.1)")
    parser.add_argument("--json", metavar="FILE", help="write rows, machine, flags and versions there as well")
    parser.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    groups = options.groups or list(GROUPS)
    unknown = set(groups) - set(GROUPS)
    if unknown:
        parser.error(f"unknown groups {sorted(unknown)}; there are {', '.join(GROUPS)}")
    counts = [int(n) for n in options.threads.split(",")]
    if options.child:
        child(options.child, groups, Settings(counts[0], options.quick, options.quantile))
        return
    results = [in_child(groups, n, options) for n in counts]
    rows = [row(r) for result in results for r in result["rows"]]
    print(table(rows))
    for n, result in zip(counts, results):
        p = result["peak"]
        print(f"\n{n} threads: {p['flops'] / 1e9:.0f} GFLOP/s ({p['how']}), {p['bytes'] / 1e9:.0f} GB/s (copying 64 MB)")
    missed = [r for r in rows if any(met is False for _, met in r.verdicts())]
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {r.group}: {r.case} ({r.threads} threads)" for r in missed))
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"command": sys.argv[1:], "load": load(), "results": results}, f, indent=1)


def load() -> list[float]:
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else []


def in_child(groups: list[str], threads: int, options: argparse.Namespace) -> dict:
    """Measure in a fresh process, whose libraries read their number of threads when they start."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        command = [sys.executable, "-m", "bench", *groups, "--threads", str(threads), "--quantile", str(options.quantile)]
        command += [*(["--quick"] if options.quick else []), "--child", path]
        subprocess.run(command, env=environment_for(threads), check=True)
        with open(path) as f:
            return json.load(f)


def child(path: str, groups: list[str], settings: Settings) -> None:
    pin(settings.threads)
    import ranvier as rv

    from .peak import measure_peak

    rv.set_num_threads(settings.threads)
    peak = measure_peak(settings.threads)
    rows = []
    for group in groups:
        print(f"{settings.threads} threads: {group} ...", file=sys.stderr, flush=True)
        rows += import_module(f".{group}", __package__).measure(settings, peak)
    for r in rows:
        r.threads = settings.threads
    with open(path, "w") as f:
        json.dump({"threads": settings.threads, "peak": vars(peak), "rows": [r.json() for r in rows], **environment()}, f)


def row(fields: dict) -> Row:
    fields = {k: v for k, v in fields.items() if k != "verdicts"}
    return Row(**{**fields, "targets": [Target(**t) for t in fields["targets"]]})


if __name__ == "__main__":
    main()
