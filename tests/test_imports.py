"""How the package's modules depend on each other: in no circle, and by public names only."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import ranvier

PACKAGE = Path(ranvier.__file__).parent
NATIVE = "ranvier._native"  # a module that is no file of Python


def _name(path: Path) -> str:
    parts = ("ranvier", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """What one module imports from the package, at its top or within functions; not what type checkers alone see.

    `modules`: those that it depends on; a package only where it takes a name of its `__init__`. `names`: (module, name)
    of all that it takes from modules. `aliases`: what it calls whole modules.
    """

    def __init__(self, name: str, text: str, is_package: bool):
        self.name, self.is_package = name, is_package
        self.modules: set[str] = set()
        self.names: list[tuple[str, str]] = []
        self.aliases: dict[str, str] = {}
        self.tree = ast.parse(text)
        self.visit(self.tree)
        self.modules.discard(name)

    def visit_If(self, node: ast.If) -> None:
        for part in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse]:
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] == "ranvier":
                self._module(alias.name, alias.asname or alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package] if node.level else []
        source = ".".join([*parts, *([node.module] if node.module else [])])
        if source.split(".")[0] != "ranvier":
            return
        for alias in node.names:
            whole = f"{source}.{alias.name}"
            if whole in MODULES or whole == NATIVE:
                self._module(whole, alias.asname or alias.name)
            else:
                self.modules.add(source)
                self.names.append((source, alias.name))

    def _module(self, name: str, alias: str) -> None:
        self.modules.add(name)
        self.aliases[alias] = name

    def private(self) -> list[str]:
        """The private names of other modules that this one uses."""
        used = list(self.names)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                source = self._resolved(node.value)
                if source is not None and f"{source}.{node.attr}" != NATIVE:
                    used.append((source, node.attr))
        return [f"{self.name}: {source}.{name}" for source, name in used if _is_private(name)]

    def _resolved(self, node: ast.expr) -> str | None:
        """The module that an expression stands for."""
        text = ast.unparse(node)
        head, _, rest = text.partition(".")
        whole = self.aliases.get(text) or (f"{self.aliases[head]}.{rest}" if head in self.aliases and rest else None)
        return whole if whole in MODULES else None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imports(name: str) -> Imports:
    path = MODULES[name]
    return Imports(name, path.read_text(), path.name == "__init__.py")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A way from a module back to it, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_modules_import_each_other_in_no_circle():
    found = circle({name: imports(name).modules for name in MODULES})
    assert not found, " <- ".join(found)


def test_modules_keep_their_private_names():
    assert [line for name in MODULES for line in imports(name).private()] == []


@pytest.mark.parametrize(
    "text, modules",
    [
        ("from .shape import expand", {"ranvier.ops.shape"}),
        ("from . import shape, OPS", {"ranvier.ops.shape", "ranvier.ops"}),
        ("from ..core import errors", {"ranvier.core.errors"}),
        ("from .. import __version__", {"ranvier"}),
        ("from .. import _native", {NATIVE}),
        ("import numpy\nfrom math import pi", set()),
        ("def f():\n    from ..tensor import Tensor", {"ranvier.tensor"}),
        ("if TYPE_CHECKING:\n    from ..tensor import Tensor\nelse:\n    from .. import random", {"ranvier.random"}),
    ],
)
def test_what_counts_as_an_import(text, modules):
    assert Imports("ranvier.ops.join", text, False).modules == modules


def test_a_package_imports_relative_to_itself():
    assert Imports("ranvier.ops", "from .shape import expand", True).modules == {"ranvier.ops.shape"}


def test_circles_and_private_names_are_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    text = "from .shape import _f, g\nfrom . import shape as s\nfrom .. import ops, _native\n"
    text += "s._h; ops.index._i; t._data; ops.__name__; _native.x"
    assert Imports("ranvier.ops.join", text, False).private() == [
        "ranvier.ops.join: ranvier.ops.shape._f", "ranvier.ops.join: ranvier.ops.shape._h",
        "ranvier.ops.join: ranvier.ops.index._i",
    ]  # fmt: skip
