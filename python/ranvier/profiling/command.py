"""`ranvier profile`: what a model costs, from the shell."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dtypes import as_dtype
from ..core.errors import RanvierError
from ..core.tensor import from_numpy
from ..nn import Module
from .measure import profile
from .scaling import growth

_TIMES = 1, 2, 4, 8  # what a size is multiplied by
_AXES = {"batch": 0, "length": 1}  # of the inputs; other sizes are arguments of the factory


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.add_argument("model", metavar="MODULE:FACTORY", help="a function, or a class, that gives the model")
    command.add_argument("--input", action="append", required=True, metavar="SHAPE", type=shape_and_dtype,
                         help="such as 1x3x32x32, or 1x128:int64; once for each input")  # fmt: skip
    command.add_argument(
        "--train", action="store_true", help="a step of training: forward, mean of the outputs, backward"
    )
    command.add_argument("--optimizer", metavar="NAME", help="such as adam: its step too (implies --train)")
    command.add_argument("--growth", action="append", default=[], metavar="NAME",
                         help="batch, length (the second axis), or an argument of the factory with a number as default: how "
                         "cost grows with it")  # fmt: skip
    command.add_argument("--json", metavar="FILE", help="write all figures there")
    command.add_argument("--html", metavar="FILE", help="write a page with table, roofline and shares of time there")
    command.add_argument("--plot", metavar="FILE", help="draw them with matplotlib; with --growth, the growth")
    command.add_argument("--count", action="store_true", help="count only; run nothing")


def shape_and_dtype(text: str) -> tuple[tuple[int, ...], np.dtype]:
    """(1, 128) and int64, of "1x128:int64"."""
    sizes, _, name = text.partition(":")
    if not re.fullmatch(r"\d+(x\d+)*", sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be sizes with x between them, such as 1x3x32x32 or 1x128:int64"
        )
    try:
        return tuple(map(int, sizes.split("x"))), as_dtype(name or "float32")
    except RanvierError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> None:
    """Print the report, or the growth."""
    make = _factory(options.model)
    settings: dict[str, Any] = {"train": options.train, "optimizer": options.optimizer, "measure": not options.count}
    if not options.growth:
        report = profile(make(), *(_array(shape, dtype) for shape, dtype in options.input), **settings)
        if options.html:
            report.html(options.html)
        found: Any = report
    else:
        if options.html:
            raise ValueError("--html shows one report; it does not go with --growth")
        over = {name: [n * k for k in _TIMES] for name in options.growth for n in [_start(name, make, options.input)]}

        def inputs(**sizes: int) -> tuple[Any, ...]:
            return tuple(_array(_resized(shape, sizes), dtype) for shape, dtype in options.input)

        found = growth(_with_arguments(make), inputs, over, **settings)
    print(found)
    if options.json:
        found.to_json(options.json)
    if options.plot:
        found.plot(options.plot)


def _factory(text: str) -> Callable[..., Any]:
    """What `module:factory` names; a model itself too."""
    name, _, attribute = text.partition(":")
    if not name or not attribute:
        raise ValueError(f"{text!r} must be module:factory, such as mymodels:make_cnn")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of this folder, as `python -m` finds them
    module = importlib.import_module(name)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise ValueError(f"module {name!r} has no {attribute!r}") from None
    if isinstance(found, Module):
        return lambda: found
    if not callable(found):
        raise ValueError(f"{text} is a {type(found).__name__}; it must be a function or a class that gives a model")
    return found


def _with_arguments(make: Callable[..., Any]) -> Callable[..., Any]:
    """The factory, called with the sizes that are its arguments."""
    return make if inspect.signature(make).parameters else lambda: make()


def _start(name: str, make: Callable[..., Any], inputs: list[Any]) -> int:
    """The smallest size of what grows."""
    if name in _AXES:
        axis = _AXES[name]
        if any(len(shape) <= axis for shape, _ in inputs):
            raise ValueError(f"--growth {name} needs inputs of {axis + 1} axes or more")
        return int(inputs[0][0][axis])
    p = inspect.signature(make).parameters.get(name)
    if p is None or not isinstance(p.default, int):
        raise ValueError(
            f"--growth {name}: neither batch nor length, nor an argument of the factory with a number as default"
        )
    return p.default


def _resized(shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[int, ...]:
    new = list(shape)
    for name, axis in _AXES.items():
        if name in sizes:
            new[axis] = sizes[name]
    return tuple(new)


def _array(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Normal numbers; zeros as integers, which every table has."""
    values = np.random.default_rng(0).standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)
    return from_numpy(values.astype(dtype))
