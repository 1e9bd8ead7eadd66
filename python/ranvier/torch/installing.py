"""PyTorch's own module names for this package: only where somebody asks for it."""

from __future__ import annotations

import sys

from .doors import DOORS, TOPS, module_name


def install() -> None:
    """Let `import torch` mean `ranvier.torch` in the whole process, for libraries that one cannot edit.

    SciPy and scikit-learn look for PyTorch among the imported modules: with SCIPY_ARRAY_API=1 they fail on this one.
    Raises RuntimeError where PyTorch is imported already.
    """
    for top in TOPS:
        if top in sys.modules and not sys.modules[top].__name__.startswith("ranvier."):
            raise RuntimeError(f"install: {top} is imported already; call install() before")
    for path in DOORS:
        sys.modules[path] = sys.modules[module_name(path)]


def uninstall() -> None:
    """Take back what `install` did."""
    for path in DOORS:
        if path in sys.modules and sys.modules[path].__name__ == module_name(path):
            del sys.modules[path]
