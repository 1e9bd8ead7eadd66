"""python -m bench [group ...]: Ranvier beside its peers, on this machine, now.
python -m bench lab OP CASE ... [attribute=value ...]: one kernel, its variants, and the machine's peaks.
python -m bench tune [MxKxN ...] [attribute=value ...]: what the choice among the variants of matrix products costs.
python -m bench record: all that docs/performance.md shows, recorded; python -m bench render: the page from the records.

Only ratios within one run mean something: all contenders of a case take turns in one process, with the same number of
threads (and that many processors), on data that is theirs already. Groups:

  steps       whole training steps          inference   predictions of one row
  products    matrix products               ops         single ops, from the op table
  chains      fused elementwise chains      optimizers  an update of many parameters
  sweep       200 random matrix products    overhead    eager calls, fit, compilation, imports
  threads     what more than one thread brings, also beside a busy process
  compress    models of 8 and 4 bits
  reads       bandwidth of L1, L2 and L3 by the order of reading
  memory      peak memory of training steps
  sequences   recurrent networks and GPTs: training steps, one sequence, one token
  convolutions  60 convolutions, and steps and predictions of networks of images
  tune        matrix products, every variant forced
  kernels     ops, products, chains and optimizers

In the laboratory a CASE is the shapes of all operands, such as 32x784,784x128; one shape is every operand's, except
that MxKxN says a matrix product:

  python -m bench lab matmul 32x784x128 256x256x256 --isa v3,v4
  python -m bench lab softmax 64x1000 dim=1
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from . import records, render, tune
from .lab import parse
from .peers import environment_for, pin
from .report import missed, peaks, table
from .runner import Row, Settings, Target, environment

SETS = {"kernels": ("ops", "products", "chains", "optimizers")}
GROUPS = (
    "steps",
    "inference",
    "overhead",
    *SETS["kernels"],
    "sweep",
    "tune",
    "threads",
    "compress",
    "reads",
    "memory",
    "sequences",
    "convolutions",
)
WITH_WORDS = ("lab", "tune")  # what follows is theirs


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    result.add_argument(
        "groups", nargs="*", metavar="group", help="all if none is named; lab: an op and its cases follow"
    )
    result.add_argument("--quick", action="store_true", help="shorter turns, smaller arrays, no torch.compile")
    result.add_argument("--threads", default="1", help="numbers of threads, such as 1,2; each in a process of its own")
    result.add_argument(
        "--quantile", type=float, default=0.5, help="of a contender's times; less on a busy machine (0.1)"
    )
    result.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains TEXT")
    result.add_argument("--dtype", default="", help="of products, sweep and lab, such as float32,float64")
    result.add_argument(
        "--without", default="", metavar="PEERS", help="such as torch,jax: as if they were not installed"
    )
    result.add_argument("--isa", default="", help="instruction sets to measure in turn, such as v2,v3,v4")
    result.add_argument("--json", metavar="FILE", help="write rows, machine, flags and versions there as well")
    result.add_argument(
        "--record",
        nargs="?",
        const=str(records.FOLDER),
        metavar="FOLDER",
        help="write a record of each group (bench/records)",
    )
    result.add_argument(
        "--check",
        action="store_true",
        help="tune: fail where regrets are large; render: where the page is not the records'",
    )
    result.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    return result


def choose(words: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The groups to run, and the laboratory's words."""
    if words[:1] and words[0] in WITH_WORDS:
        return words[:1], tuple(words[1:])
    unknown = set(words) - set(GROUPS) - set(SETS)
    if unknown:
        raise ValueError(f"unknown groups {sorted(unknown)}; there are lab, {', '.join(GROUPS)}, {', '.join(SETS)}")
    wanted = {part for word in words or GROUPS for part in SETS.get(word, (word,))}
    return [group for group in GROUPS if group in wanted], ()


def main() -> None:
    commands = parser()
    options = commands.parse_intermixed_args()
    if options.groups == ["render"]:
        sys.exit(render.render(options.check) or None)
    if options.groups == ["record"]:
        record(options.quick)
        return
    try:
        groups, words = choose(options.groups)
        if groups == ["lab"]:
            parse(words)
        elif words:
            tune.cases(words)
    except ValueError as error:
        commands.error(str(error))
    if options.child:
        settings = settings_of(options, words)
        hidden = set(settings.without) - {"numpy"}  # which we need ourselves: only its column is left out
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # their import fails
        child(options.child, groups, settings)
        return
    results = [
        in_child(threads, isa) for threads in options.threads.split(",") for isa in options.isa.split(",")
    ]  # fmt: skip
    rows = [row(r) for result in results for r in result["rows"]]
    if not rows:
        raise SystemExit(
            f"bench: no case of {', '.join(groups)} has {options.only!r} in its name"
            if options.only
            else "bench: nothing to measure"
        )
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    print(table(rows + tune.summary([r for r in rows if r.suite == "tune"])) + "\n")
    print(*map(peaks, results), sep="\n")
    busy = ", ".join(filter(None, (r["busy"] for r in results)))
    if busy:
        print(f"The machine was not quiet: {busy}.")
    if any(r.targets for r in rows):
        print("\n" + missed(rows))
    if options.record:
        records.save(Path(options.record), command, time.strftime("%Y-%m-%d"), results)
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"command": command, "load": load(), "results": results}, f, indent=1)
    if options.check and groups == ["tune"] and not busy:
        sys.exit(tune.judge(rows) or None)


def record(quick: bool) -> None:
    """Runs all suites of the page and writes it."""
    for suite, words in render.SUITES.items():
        command = [sys.executable, "-m", "bench", suite, *words.split(), "--record", *(["--quick"] if quick else [])]
        subprocess.run(command, check=True)
    render.render(check=False)


def settings_of(options: argparse.Namespace, words: tuple[str, ...]) -> Settings:
    dtypes = tuple(options.dtype.split(",")) if options.dtype else ("float32",) if words else ("float32", "float64")
    return Settings(int(options.threads), options.quick, options.quantile, options.only, dtypes, words, options.isa,
                    tuple(filter(None, options.without.split(","))))  # fmt: skip


def load() -> list[float]:
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else []


def in_child(threads: str, isa: str) -> dict:
    """Measure in a fresh process, whose libraries read their number of threads when they start."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        command = [sys.executable, "-m", "bench", *sys.argv[1:], "--threads", threads, "--isa", isa, "--child", path]
        env = environment_for(int(threads))
        if subprocess.run(command, env={**env, "RANVIER_ISA": isa} if isa else env).returncode:
            raise SystemExit(f"bench: the measurement on {threads} threads failed")
        with open(path) as f:
            return json.load(f)


def child(path: str, groups: list[str], settings: Settings) -> None:
    pin(settings.threads)
    import ranvier as rv

    from .peak import measure_peak
    from .quiet import Watch

    rv.set_num_threads(settings.threads)
    watch = Watch()
    peak = measure_peak(settings.threads, 0.1 if settings.quick else 0.4)
    rows = []
    for group in groups:
        print(f"{settings.threads} threads: {group} ...", file=sys.stderr, flush=True)
        found = import_module(f".{group}", __package__).measure(settings, peak)
        found = [r for r in found if settings.wants(r.case)]
        for r in found:
            r.threads, r.suite = settings.threads, group
            r.command = r.command or reproduce(group, r.case, settings)
            r.case += f" [{settings.isa}]" if settings.isa else ""
        rows += found
    result = {
        "threads": settings.threads,
        "peak": vars(peak),
        "busy": watch.reasons(),
        "rows": [r.json() for r in rows],
    }
    with open(path, "w") as f:
        json.dump({**result, **environment()}, f)


def reproduce(group: str, case: str, settings: Settings) -> str:
    """The command that measures one case again."""
    words = [group, *settings.words, "--threads", str(settings.threads), *(["--quick"] if settings.quick else [])]
    words += ["--isa", settings.isa] if settings.isa else []
    if not settings.words:
        words += ["--only", case]
    return shlex.join(["python", "-m", "bench", *words])


def row(fields: dict) -> Row:
    fields = {k: v for k, v in fields.items() if k != "verdicts"}
    return Row(**{**fields, "targets": [Target(**t) for t in fields["targets"]]})


if __name__ == "__main__":
    main()
