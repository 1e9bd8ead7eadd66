"""What `profile` found: figures by layer and in all, as a table, JSON, a picture or a page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .count import PHASES, Work
from .energy import Energy, estimated
from .layers import Layer, indented, table
from .machine import Machine

_SUMS = (
    "parameters", "trainable", "macs_forward", "macs_backward", "flops_forward", "flops_backward", "flops_optimizer",
    "instructions", "bytes_moved", "activation_bytes",
)  # fmt: skip


class Time(NamedTuple):
    """Seconds of one instruction: measured, and the least for its operations and for its bytes."""

    measured: float
    compute: float
    memory: float

    @property
    def roofline(self) -> float:
        return max(self.compute, self.memory)


class Report:
    """What a network costs.

    `totals` is a dict of figures, and `layers` one of such dicts by the path of the layer ("(Kind)" for the model itself,
    "(outside of layers)" for losses and other functions, "(optimizer)"). None stands for what has not been measured.

    - parameters, trainable, parameter_bytes (by dtype); a shared parameter counts once, for the first layer that has it.
    - macs_forward, macs_backward: multiply-adds of products. flops_forward, flops_backward, flops_optimizer: two a
      multiply-add, one an element of anything else. instructions: an estimate of what the processor runs for them, where
      an exponential counts as many.
    - bytes_least, bytes_moved: what has to be read and written, and what the plan's instructions do after fusion.
      intensity: operations a byte moved.
    - activation_bytes: what the forward pass keeps for the backward pass; without one, all that it makes. arena_bytes: the
      plan's memory for intermediates; of a layer, the most in use while it runs. peak_bytes: that, with all parameters,
      gradients, states, inputs and outputs. peak_bytes_measured: the same as the system counts it.
    - seconds: the median of each instruction, in sum. roofline_seconds: the least that the machine's measured peaks allow.
      bound: which of them. fused_into: where a layer's work is done by an instruction of an earlier layer.
    - energy_joules, energy_source: "measured: ..." or "estimated: ...".

    Attributes:
        train: whether it is of a step of training. machine: the Machine that it was measured on, or None.
    """

    def __init__(self, layers: Iterable[Layer], works: dict[str, Work], in_use: dict[str, int], train: bool) -> None:
        self.train = train
        self.machine: Machine | None = None
        known = {layer.name: layer for layer in layers}
        self.layers: dict[str, dict[str, Any]] = {}
        self._works = works
        for name in (*known, *(name for name in works if name not in known)):
            self.layers[name] = {**_of_module(known.get(name), name), **_of_work(works.get(name, Work()))}
            self.layers[name]["arena_bytes"] = in_use.get(name, 0)
        self.totals: dict[str, Any] = {key: sum(row[key] for row in self.layers.values()) for key in _SUMS}
        self.totals["parameter_bytes"] = {}
        for row in self.layers.values():
            for dtype, n in row["parameter_bytes"].items():
                self.totals["parameter_bytes"][dtype] = self.totals["parameter_bytes"].get(dtype, 0) + n
        for row in (self.totals, *self.layers.values()):
            row["flops"] = sum(row[f"flops_{phase}"] for phase in PHASES)
            row["intensity"] = row["flops"] / row["bytes_moved"] if row["bytes_moved"] else 0.0
            row.update(dict.fromkeys(_OF_TIME))

    def plan(self, least: int, arena: int | None, around: int, peak: int | None) -> None:
        """What the graph and its plan say of memory."""
        self.totals.update(bytes_least=least, arena_bytes=arena, peak_bytes=peak, peak_bytes_measured=None)
        for row in self.layers.values():
            row["peak_bytes"] = None if peak is None else around + row["arena_bytes"]

    def time(self, best: Machine, seconds: float | None, times: dict[str, list[Time]], peak: int | None) -> None:
        """What has been measured."""
        self.machine = best
        self.totals.update(_of_times([t for found in times.values() for t in found]), seconds=seconds)
        self.totals["peak_bytes_measured"] = peak
        last: str | None = None
        for name, row in self.layers.items():
            if name in times:
                row.update(_of_times(times[name]))
                last = name
            elif times and row["flops"]:
                row["fused_into"] = last

    def spend(self, measured: Energy | None, itemsize: int) -> None:
        """The energy: what was measured, by each layer's share of the time; else an estimate."""
        seconds = sum(row["seconds"] or 0.0 for row in self.layers.values())
        joules = 0.0
        for name, row in self.layers.items():
            if measured is not None and seconds:
                found = Energy(
                    measured.joules * (row["seconds"] or 0.0) / seconds, measured.source + ", by share of time"
                )
            else:
                cost = self._works[name].cost if name in self._works else Work().cost
                found = estimated(cost.macs, cost.elements, row["bytes_moved"], itemsize)
            row["energy_joules"], row["energy_source"] = found
            joules += found.joules
            source = found.source
        self.totals["energy_joules"] = joules if measured is None else measured.joules
        self.totals["energy_source"] = source if measured is None else measured.source

    # ------------------------------------------------------------ shapes of it

    def to_dict(self) -> dict[str, Any]:
        """All figures, in plain Python."""
        return {
            "train": self.train,
            "totals": self.totals,
            "layers": self.layers,
            "machine": None if self.machine is None else vars(self.machine),
        }

    def to_json(self, path: Any = None, indent: int | None = 2) -> str:
        """All figures as JSON, also written to `path` where that is given."""
        text = json.dumps(self.to_dict(), indent=indent)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def plot(self, path: Any = None) -> Any:
        """The roofline and each layer's share of the time, by matplotlib; saved to `path` where that is given."""
        from .picture import plot_report

        return plot_report(self, path)

    def html(self, path: Any = None) -> str:
        """One page that needs nothing else: the table, the roofline, the shares of time; also written to `path`."""
        from .page import page

        text = page(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def rows(self) -> list[tuple[str, ...]]:
        """The table by layer, its first row the names of the columns."""
        phases = PHASES if self.train else PHASES[:1]
        heads = (
            "layer",
            "output shape",
            "parameters",
            *(f"FLOPs {p}" for p in phases),
            "bytes moved",
            "FLOP/B",
            "time",
        )
        rows = [(*heads, "least", "bound by")]
        for name, row in self.layers.items():
            rows.append(
                (
                    name if row["kind"] is None else indented("" if name[0] == "(" else name, row["kind"]),
                    "" if row["output_shape"] is None else str(row["output_shape"]),
                    f"{row['parameters']:,}" if row["parameters"] else "-",
                    *(amount(row[f"flops_{p}"]) for p in phases),
                    amount(row["bytes_moved"], "B"),
                    f"{row['intensity']:.3g}" if row["flops"] else "-",
                    duration(row["seconds"]) if row["seconds"] is not None else "fused" if row["fused_into"] else "-",
                    duration(row["roofline_seconds"]),
                    row["bound"] or "-",
                )
            )
        return rows

    def notes(self) -> list[str]:
        """What stands below the table; each figure says whether it is counted, measured or estimated."""
        t, best = self.totals, self.machine
        fixed = t["parameters"] - t["trainable"]
        sizes = ", ".join(f"{amount(n, 'B')} of {dtype}" for dtype, n in t["parameter_bytes"].items()) or "none"
        passes = [f"{amount(t[f'flops_{p}'])} {p}" for p in (PHASES if self.train else PHASES[:1])]
        macs = t["macs_forward"] + t["macs_backward"]
        lines = [
            f"parameters: {t['parameters']:,} ({t['trainable']:,} trainable, {fixed:,} frozen); {sizes}",
            f"FLOPs, counted: {', '.join(passes)}; {amount(macs)} multiply-adds; {amount(t['instructions'])} instructions, "
            "estimated",
            f"bytes, counted: {amount(t['bytes_moved'], 'B')} moved, {amount(t['bytes_least'], 'B')} at least; "
            f"{t['intensity']:.3g} FLOP/B",
            f"memory: activations {amount(t['activation_bytes'], 'B')}, arena {amount(t['arena_bytes'], 'B')}, peak "
            f"{amount(t['peak_bytes'], 'B')} predicted, {amount(t['peak_bytes_measured'], 'B')} measured",
        ]
        if best is None:
            lines.append("time: not measured")
        else:
            share = t["flops"] / t["seconds"] / best.flops if t["seconds"] else 0.0
            lines += [
                f"time, measured: {duration(t['seconds'])}, {100 * share:.1f} % of the peak; least by the roofline "
                f"{duration(t['roofline_seconds'])}",
                f"machine, measured: {best.flops / 1e9:.1f} GFLOP/s of {best.dtype}, {best.memory_bandwidth / 1e9:.1f} GB/s "
                f"memory, {best.cache_bandwidth / 1e9:.1f} GB/s cache, {best.threads} threads",
            ]
        kind, _, source = t["energy_source"].partition(": ")
        return [*lines, f"energy, {kind}: {amount(t['energy_joules'], 'J')} ({source})"]

    def __str__(self) -> str:
        return "\n".join([*table(self.rows(), 2), *self.notes()])

    def __repr__(self) -> str:
        t = self.totals
        return f"Report({t['parameters']:,} parameters, {amount(t['flops'])} FLOPs, {duration(t['seconds'])})"


_OF_TIME = ("seconds", "roofline_seconds", "efficiency", "bound", "fused_into")


def _of_module(layer: Layer | None, name: str) -> dict[str, Any]:
    """The figures that a module has without being called."""
    if layer is None:
        return {"kind": None, "output_shape": None, "parameters": 0, "trainable": 0, "parameter_bytes": {}}
    return {
        "kind": layer.kind,
        "output_shape": layer.shape,
        "parameters": layer.count(),
        "trainable": layer.count(trainable=True),
        "parameter_bytes": layer.nbytes(),
    }


def _of_work(work: Work) -> dict[str, Any]:
    return {
        "macs_forward": work.costs["forward"].macs,
        "macs_backward": work.costs["backward"].macs,
        **{f"flops_{phase}": work.costs[phase].flops for phase in PHASES},
        "instructions": work.cost.instructions,
        "bytes_least": work.least,
        "bytes_moved": round(work.moved),
        "activation_bytes": work.saved,
    }


def _of_times(times: list[Time]) -> dict[str, Any]:
    measured, least = sum(t.measured for t in times), sum(t.roofline for t in times)
    compute, memory = sum(t.compute for t in times), sum(t.memory for t in times)
    return {
        "seconds": measured,
        "roofline_seconds": least,
        "efficiency": least / measured if measured else None,
        "bound": "compute" if compute > memory else "memory",
    }


def amount(n: float | None, unit: str = "") -> str:
    """A number with a prefix: 1.23 M; of bytes by powers of 1024: 1.23 MiB."""
    if n is None:
        return "not measured"
    base, names = (1024.0, ("", "Ki", "Mi", "Gi", "Ti")) if unit == "B" else (1000.0, ("", "k", "M", "G", "T", "P"))
    if unit == "J":
        return _small(n, "J")
    step = 0
    while abs(n) >= base and step < len(names) - 1:
        n, step = n / base, step + 1
    return f"{n:.3g} {names[step]}{unit}".rstrip() if step else f"{n:.0f} {unit}".rstrip()


def duration(seconds: float | None) -> str:
    """1.23 ms."""
    return "-" if seconds is None else _small(seconds, "s")


def _small(n: float, unit: str) -> str:
    steps = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))
    scale, prefix = next((step for step in steps if abs(n) >= step[0]), steps[-1] if n else steps[0])
    return f"{n / scale:.3g} {prefix}{unit}"
