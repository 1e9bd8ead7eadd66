"""Pictures by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Report
    from .scaling import Growth


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plot() needs matplotlib: pip install ranvier[plot]") from None
    return plt


def points(report: Report) -> list[tuple[str, float, float, float]]:
    """(layer, operations a byte, operations a second, share of the time) of each layer that was timed."""
    total = sum(row["seconds"] or 0.0 for row in report.layers.values())
    return [
        (name, row["intensity"], row["flops"] / row["seconds"], row["seconds"] / total)
        for name, row in report.layers.items()
        if row["seconds"] and total and row["flops"] and row["bytes_moved"]
    ]


def plot_report(report: Report, path: Any = None) -> Any:
    """The roofline, and each layer's share of the time."""
    plt = _pyplot()
    found, best = points(report), report.machine
    if best is None or not found:
        raise ValueError("plot: nothing was measured; profile with measure=True on the native backend")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    low = min(0.1, *(x for _, x, _, _ in found))
    high = max(1000.0, *(x for _, x, _, _ in found))
    for bandwidth, label in ((best.memory_bandwidth, "memory"), (best.cache_bandwidth, "cache")):
        ridge = best.flops / bandwidth
        left.plot([low, ridge, high], [low * bandwidth, best.flops, best.flops], label=f"peak, {label}")
    for name, x, y, share in found:
        left.scatter([x], [y], s=30 + 300 * share)
        left.annotate(name, (x, y), fontsize=7, xytext=(4, 4), textcoords="offset points")
    left.set(xscale="log", yscale="log", xlabel="FLOP a byte moved", ylabel="FLOP/s", title="Roofline, measured")
    left.legend(fontsize=8)
    found = found[::-1]
    right.barh([name for name, *_ in found], [100 * share for *_, share in found])
    right.set(xlabel="% of the time, measured", title="Share of the time")
    if path is not None:
        figure.savefig(path)
        plt.close(figure)
    return figure


def plot_growth(growth: Growth, path: Any = None) -> Any:
    """A row for each name, a column for each figure."""
    plt = _pyplot()
    names, keys = list(growth.sizes), list(next(iter(growth.predicted.values())))
    figure, axes = plt.subplots(
        len(names), len(keys), figsize=(3.2 * len(keys), 2.8 * len(names)), squeeze=False, layout="constrained"
    )
    for row, name in zip(axes, names):
        for axis, key in zip(row, keys):
            series = {
                "predicted": (growth.predicted, growth.exponents, "--o"),
                "measured": (growth.measured, growth.measured_exponents, "-s"),
            }
            for kind, (values, fits, style) in series.items():
                y, found = values[name].get(key), fits[name].get(key)
                if y is not None and found is not None:
                    axis.plot(growth.sizes[name], y, style, label=f"{kind}: {name}^{found.exponent:.2f}")
            axis.set(xscale="log", yscale="log", xlabel=name, title=key)
            axis.set_xticks(growth.sizes[name], map(str, growth.sizes[name]))
            axis.minorticks_off()
            axis.legend(fontsize=7)
    if path is not None:
        figure.savefig(path)
        plt.close(figure)
    return figure
