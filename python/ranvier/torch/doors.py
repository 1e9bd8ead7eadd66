"""Which of PyTorch's modules are which of Ranvier's: `DOORS`, and the modules that stand for them.

A door has no functions of its own. It looks a name up in the homes listed here, the first that has it, and where none has,
says so by `MissingName`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

PACKAGE = __package__ or "ranvier.torch"
TOPS = ("torch", "torchvision")  # the packages that doors stand for

# PyTorch's module -> where its names are, first home first. Those that begin with a dot are of this package.
DOORS: dict[str, tuple[str, ...]] = {
    "torch": (".shims.names", "ranvier"),
    "torch.accelerator": (".shims.accelerator",),
    "torch.amp": (".shims.amp",),
    "torch.autograd": (".shims.names", "ranvier.autograd"),
    "torch.autograd.function": ("ranvier.autograd",),
    "torch.autograd.functional": ("ranvier.autograd.functional",),
    "torch.autograd.variable": (".shims.names",),
    "torch.backends": ("ranvier.backends",),
    "torch.backends.cuda": (".shims.backends",),
    "torch.backends.cuda.matmul": (".shims.backends",),
    "torch.backends.cudnn": ("ranvier.backends.cudnn",),
    "torch.backends.mkldnn": (".shims.backends",),
    "torch.backends.mps": ("ranvier.backends.mps",),
    "torch.cuda": (".shims.cuda", "ranvier.cuda"),
    "torch.cuda.amp": (".shims.amp",),
    "torch.distributions": ("ranvier.distributions",),
    "torch.distributions.categorical": ("ranvier.distributions",),
    "torch.distributions.kl": ("ranvier.distributions",),
    "torch.distributions.normal": ("ranvier.distributions",),
    "torch.functional": ("ranvier",),
    "torch.jit": (".shims.jit",),
    "torch.linalg": ("ranvier.linalg",),
    "torch.mps": (".shims.accelerator",),
    "torch.multiprocessing": ("multiprocessing",),
    "torch.nn": (".shims.layers", "ranvier.nn"),
    "torch.nn.functional": ("ranvier.nn.functional", "ranvier"),
    "torch.nn.init": (".shims.init", "ranvier.nn.init"),
    "torch.nn.modules": (".shims.layers", "ranvier.nn"),
    "torch.nn.parallel": (".shims.layers",),
    "torch.nn.parameter": ("ranvier.nn",),
    "torch.nn.utils": (".shims.utils", "ranvier.nn.utils"),
    "torch.nn.utils.parametrizations": ("ranvier.nn.utils.parametrizations",),
    "torch.nn.utils.parametrize": ("ranvier.nn.utils.parametrize",),
    "torch.nn.utils.rnn": ("ranvier.nn.utils.rnn",),
    "torch.optim": ("ranvier.optim",),
    "torch.optim.lr_scheduler": ("ranvier.optim.lr_scheduler",),
    "torch.optim.optimizer": ("ranvier.optim",),
    "torch.optim.swa_utils": ("ranvier.optim.swa_utils",),
    "torch.random": ("ranvier.random",),
    "torch.serialization": (".shims.serialization",),
    "torch.special": ("ranvier",),
    "torch.types": (".shims.names", "ranvier"),
    "torch.utils": (".shims.utils",),
    "torch.utils.data": ("ranvier.data",),
    "torch.utils.data.dataloader": ("ranvier.data",),
    "torch.utils.data.dataset": ("ranvier.data",),
    "torch.utils.data.sampler": ("ranvier.data",),
    "torch.utils.tensorboard": (".shims.tensorboard",),
    "torch.version": (".shims.version",),
    "torchvision": (".shims.vision",),
    "torchvision.datasets": (".shims.vision.datasets",),
    "torchvision.models": ("ranvier.models",),
    "torchvision.transforms": (".shims.vision.transforms",),
    "torchvision.transforms.functional": (".shims.vision.functional",),
    "torchvision.utils": (".shims.vision.utils",),
}  # fmt: skip
# modules of one class or family each, whose names are the package's above
DOORS |= {
    f"{package}.{name}": DOORS[package]
    for package, names in {
        "torch.nn.modules": "activation batchnorm container conv dropout linear loss module normalization pooling rnn utils",
        "torch.optim": "adadelta adagrad adam adamw rmsprop sgd",
    }.items()
    for name in names.split()
}


class MissingName(AttributeError, NotImplementedError):
    """A name of PyTorch's that is not here."""


def module_name(path: str) -> str:
    """The module of this package that stands for PyTorch's module `path`.

    >>> module_name("torch.nn"), module_name("torchvision.utils")
    ('ranvier.torch.nn', 'ranvier.torch.torchvision.utils')
    """
    top, _, rest = path.partition(".")
    below = f"{PACKAGE}.{top}" if top == "torchvision" else PACKAGE
    return f"{below}.{rest}" if rest else below


def homes(path: str) -> Iterator[ModuleType]:
    """The modules that hold the names of PyTorch's module `path`, those that there are."""
    for home in DOORS[path]:
        try:
            yield import_module(home, PACKAGE)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("ranvier"):
                raise


def children(path: str) -> set[str]:
    """The modules directly below PyTorch's module `path`; torchvision is here one of torch's."""
    below = {door[len(path) + 1 :].partition(".")[0] for door in DOORS if door.startswith(path + ".")}
    return below | {"torchvision"} if path == "torch" else below


def names(path: str) -> set[str]:
    """All names of PyTorch's module `path` that are here."""
    return children(path).union(*(dir(home) for home in homes(path)))


def find(path: str, name: str) -> Any:
    """What `name` of PyTorch's module `path` is here; raises MissingName."""
    if name in children(path):
        return sys.modules[module_name(f"{path}.{name}")]
    if not name.startswith("_") or name == "__version__":
        for home in homes(path):
            try:
                return getattr(home, name)
            except AttributeError:
                pass
    if name.startswith("__"):
        raise AttributeError(f"module {path!r} has no attribute {name!r}")
    raise MissingName(missing(path, name, _caller()))


def missing(path: str, name: str, where: FrameType | None = None) -> str:
    """What is to be said of a name that is not here, and asked for by `where`."""
    near = difflib.get_close_matches(name, names(path), 1)
    return (
        f"{path}.{name} is not in Ranvier"
        + (f" (line {where.f_lineno} of {where.f_code.co_filename})" if where else "")
        + (f"; the nearest name is {path}.{near[0]}" if near else "")
        + "; what there is: docs/torch.md"
    )


def _caller() -> FrameType | None:
    """The frame that asks: the first outside of this package and of Python's import machinery."""
    frame: FrameType | None = sys._getframe(1)
    while frame and (frame.f_globals.get("__name__", "").startswith((PACKAGE, "importlib"))):
        frame = frame.f_back
    return frame


class Door(ModuleType):
    """A module that stands for one of PyTorch's."""

    def __init__(self, path: str):
        super().__init__(module_name(path), f"PyTorch's {path}: {', '.join(DOORS[path])}")
        self.__dict__.update(_path=path, __path__=[], __package__=module_name(path))

    def __getattr__(self, name: str) -> Any:
        return find(self._path, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, Door):
            super().__setattr__(name, value)
            return
        for home in homes(self._path):  # a switch, as backends.cudnn.benchmark
            if hasattr(home, name):
                setattr(home, name, value)
                return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(names(self._path))


def open_doors() -> None:
    """Make the modules of all doors importable."""
    for path in sorted(DOORS):
        if path != "torch":
            sys.modules.setdefault(module_name(path), Door(path))
