"""How cost grows with width, depth, batch and length: counted and measured, with fitted exponents."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .layers import table
from .measure import profile
from .report import Report, amount, duration

# figure -> where a report has it
FIGURES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "parameters": lambda t: t["parameters"],
    "flops": lambda t: t["flops"],
    "memory": lambda t: t["peak_bytes"],
    "time": lambda t: t["roofline_seconds"],
}
_MEASURED = {"memory": "peak_bytes_measured", "time": "seconds"}
_SHOWN = {"parameters": amount, "flops": amount, "memory": lambda n: amount(n, "B"), "time": duration}
_DEGREE = 3  # of polynomials that counts are tried as
# two-sided 95 % points of Student's distribution by degrees of freedom, from 1 on
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Fit:
    """y ~ x**exponent by least squares over the logarithms. low, high: the exponent's 95 % confidence interval, infinite
    for two points. last: the slope between the two largest sizes, which is what further growth begins with.
    """

    exponent: float
    low: float
    high: float
    last: float


def fit(x: Sequence[float], y: Sequence[float | None]) -> Fit | None:
    """The exponent of y's growth; None where y is not known, or not positive."""
    if any(v is None or v <= 0 for v in y) or len(x) < 2:
        return None
    a, b = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    centred = a - a.mean()
    slope = float(centred @ b / (centred @ centred))
    degrees = len(x) - 2
    if not degrees:
        margin = math.inf
    else:
        rest = b - b.mean() - slope * centred
        student = _STUDENT[degrees - 1] if degrees <= len(_STUDENT) else 1.96 + 2.5 / degrees
        margin = student * math.sqrt(float(rest @ rest) / degrees / float(centred @ centred))
    return Fit(slope, slope - margin, slope + margin, float((b[-1] - b[-2]) / (a[-1] - a[-2])))


def polynomial(x: Sequence[int], y: Sequence[int]) -> list[Fraction] | None:
    """The coefficients, constant first, of the polynomial of least degree that goes through all points exactly; None where
    none of degree 3 or less does, or there are too few points to tell.
    """
    for degree in range(min(_DEGREE, len(x) - 2) + 1):
        found = _through(x[: degree + 1], y[: degree + 1])
        if all(sum(c * v**k for k, c in enumerate(found)) == w for v, w in zip(x, y)):
            return found
    return None


def _through(x: Sequence[int], y: Sequence[int]) -> list[Fraction]:
    """Newton's divided differences, multiplied out."""
    table = [Fraction(v) for v in y]
    for step in range(1, len(x)):
        for i in range(len(x) - 1, step - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (x[i] - x[i - step])
    result = [Fraction(0)] * len(x)
    for at, c in zip(reversed(x), reversed(table)):
        result = [c - at * result[0], *(below - at * same for below, same in zip(result, result[1:]))]
    return result


def written(coefficients: list[Fraction], name: str) -> str:
    """64 batch + 2 batch^2, highest power first."""
    powers = ["", name, *(f"{name}^{k}" for k in range(2, len(coefficients)))]
    terms = [power if c == 1 and power else f"{c} {power}".rstrip() for c, power in zip(coefficients, powers) if c]
    return " + ".join(reversed(terms)).replace("+ -", "- ") or "0"


class Growth:
    """What `growth` found, by the name of what grows.

    Attributes:
        sizes: {"batch": [1, 2, 4]}. reports: the Report of each size.
        predicted, measured: {"batch": {"flops": [...], ...}} of parameters, flops, memory (the peak) and time; time is
            predicted by the roofline. exponents: {"batch": {"flops": Fit, ...}} of what is predicted, measured_exponents of
            what is measured. formulas: {"batch": {"flops": "1152 batch"}}, exact, where counts are a polynomial.
    """

    def __init__(self, reports: dict[str, dict[int, Report]]) -> None:
        self.reports = {name: list(found.values()) for name, found in reports.items()}
        self.sizes = {name: list(found) for name, found in reports.items()}
        self.predicted: dict[str, dict[str, list[Any]]] = {}
        self.measured: dict[str, dict[str, list[Any]]] = {}
        self.exponents: dict[str, dict[str, Fit | None]] = {}
        self.measured_exponents: dict[str, dict[str, Fit | None]] = {}
        self.formulas: dict[str, dict[str, str]] = {}
        for name, x in self.sizes.items():
            totals = [report.totals for report in self.reports[name]]
            self.predicted[name] = {key: [read(t) for t in totals] for key, read in FIGURES.items()}
            self.measured[name] = {key: [t[field] for t in totals] for key, field in _MEASURED.items()}
            self.exponents[name] = {key: fit(x, y) for key, y in self.predicted[name].items()}
            self.measured_exponents[name] = {key: fit(x, y) for key, y in self.measured[name].items()}
            exact = {key: polynomial(x, self.predicted[name][key]) for key in ("parameters", "flops")}
            self.formulas[name] = {key: written(found, name) for key, found in exact.items() if found is not None}

    def to_dict(self) -> dict[str, Any]:
        """All figures, in plain Python."""

        def plain(fits: dict[str, dict[str, Fit | None]]) -> dict[str, Any]:
            return {name: {k: f and asdict(f) for k, f in found.items()} for name, found in fits.items()}

        return {
            "sizes": self.sizes,
            "predicted": self.predicted,
            "measured": self.measured,
            "exponents": plain(self.exponents),
            "measured_exponents": plain(self.measured_exponents),
            "formulas": self.formulas,
        }

    def to_json(self, path: Any = None, indent: int | None = 2) -> str:
        """All figures as JSON, also written to `path` where that is given. Where there is no bound, null."""
        text = json.dumps(_finite(self.to_dict()), indent=indent)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def plot(self, path: Any = None) -> Any:
        """Predicted and measured over size, both axes logarithmic, by matplotlib; saved to `path` where that is given."""
        from .picture import plot_growth

        return plot_growth(self, path)

    def __str__(self) -> str:
        lines: list[str] = []
        for name, x in self.sizes.items():
            rows: list[tuple[str, ...]] = [(name, *map(str, x), "grows as", "95 %", "at the end")]
            for key in FIGURES:
                kinds = {
                    "predicted": (self.predicted, self.exponents),
                    "measured": (self.measured, self.measured_exponents),
                }
                for kind, (values, fits) in kinds.items():
                    if key in values[name]:
                        rows.append(
                            (f"{key}, {kind}", *map(_SHOWN[key], values[name][key]), *_exponent(name, fits[name][key]))
                        )
            lines += table(rows, 1)
            lines += [f"{key} = {formula}" for key, formula in self.formulas[name].items()]
            lines.append("")
        return "\n".join(lines[:-1])

    def __repr__(self) -> str:
        found = ", ".join(
            f"{name}: FLOPs ^{f.exponent:.2f}"
            for name, fits in self.exponents.items()
            if (f := fits["flops"]) is not None
        )
        return f"Growth({found})"


def _exponent(name: str, found: Fit | None) -> tuple[str, str, str]:
    if found is None:
        return "-", "-", "-"
    bounds = f"{found.low:.2f} to {found.high:.2f}" if math.isfinite(found.high) else "two sizes"
    return f"{name}^{found.exponent:.2f}", bounds, f"^{found.last:.2f}"


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


def growth(
    make_model: Callable[..., Any], make_input: Callable[..., Any], over: Mapping[str, Sequence[int]], **options: Any
) -> Growth:
    """How parameters, operations, memory and time grow with each size in `over`: the big-O of your own network.

    Args:
        make_model: gives the model. make_input: gives its input, or a tuple of its inputs.
        over: sizes to try, by name, such as {"width": [32, 64, 128], "batch": [1, 2, 4]}. Both functions are called by
            keyword with those of these names that they take; while one of them grows, the others are what the functions'
            defaults say, else the first of their sizes.
        options: of `profile`, such as train=True.

    Returns a Growth: printed it shows all figures with their exponents; `plot` draws them.

    Raises ValueError for a name that neither function takes, for fewer than two sizes, or sizes that do not increase.

    >>> import ranvier as rv
    >>> found = rv.growth(
    ...     lambda width: rv.nn.Linear(width, width), lambda width, batch: rv.zeros(batch, width),
    ...     over={"width": [64, 128, 256], "batch": [8, 16, 32]}, measure=False,
    ... )
    >>> round(found.exponents["width"]["flops"].exponent, 1), found.formulas["batch"]["flops"]
    (2.0, '8256 batch')
    """
    makers = {"make_model": _names(make_model), "make_input": _names(make_input)}
    for name, sizes in over.items():
        if not any(name in names or "**" in names for names in makers.values()):
            raise ValueError(f"growth: neither make_model nor make_input takes {name!r}")
        if len(sizes) < 2 or any(b <= a for a, b in zip(sizes, sizes[1:])) or sizes[0] <= 0:
            raise ValueError(f"growth: over[{name!r}]={list(sizes)} must be two or more positive sizes that increase")

    def call(make: Callable[..., Any], names: dict[str, bool], name: str, size: int) -> Any:
        others = {other: sizes[0] for other, sizes in over.items() if not names.get(other)}
        given = {**others, name: size}
        return make(**{key: value for key, value in given.items() if key in names or "**" in names})

    reports: dict[str, dict[int, Report]] = {}
    for name, sizes in over.items():
        reports[name] = {}
        for size in sizes:
            inputs = call(make_input, makers["make_input"], name, size)
            inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
            reports[name][size] = profile(call(make_model, makers["make_model"], name, size), *inputs, **options)
    return Growth(reports)


def _names(make: Callable[..., Any]) -> dict[str, bool]:
    """The names that a function takes by keyword, and whether each has a default; "**" where it takes any."""
    if not callable(make):
        raise TypeError(f"growth: {make!r:.60} must be a function")
    found = {}
    for name, p in inspect.signature(make).parameters.items():
        if p.kind is p.VAR_KEYWORD:
            found["**"] = True
        elif p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            found[name] = p.default is not p.empty
    return found
