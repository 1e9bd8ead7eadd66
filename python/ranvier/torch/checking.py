"""The names of PyTorch that a script uses, read from its source: `python -m ranvier.torch --check script.py`."""

from __future__ import annotations

import ast
from pathlib import Path

from .doors import DOORS, TOPS, MissingName, find, missing


def _parts(node: ast.AST) -> list[str]:
    """["nn", "Linear"] of `nn.Linear`; [] of what is no chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*parts, node.id][::-1] if isinstance(node, ast.Name) else []


class _Names(ast.NodeVisitor):
    """Collects (PyTorch's full name, line) of all names that a module uses."""

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}  # name in the script -> PyTorch's
        self.found: list[tuple[str, int]] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top in TOPS:
                self.bound[alias.asname or top] = alias.name if alias.asname else top
                self.found.append((alias.name, node.lineno))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and (node.module or "").partition(".")[0] in TOPS:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                self.bound[alias.asname or alias.name] = name
                self.found.append((name if alias.name != "*" else str(node.module), node.lineno))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts = _parts(node)
        if parts and parts[0] in self.bound:
            self.found.append((".".join([self.bound[parts[0]], *parts[1:]]), node.lineno))
        else:
            self.generic_visit(node)


def names_in(path: Path) -> list[tuple[str, int]]:
    """PyTorch's names that a file uses, and where."""
    visitor = _Names()
    visitor.visit(ast.parse(path.read_bytes(), str(path)))
    return visitor.found


def lookup(name: str) -> str | None:
    """What is to be said of a full name that is not here; None where it is. Attributes of what is no module are left alone.

    >>> lookup("torch.nn.Linear.forward") is None
    True
    >>> lookup("torch.nn.Linaer")
    'torch.nn.Linaer is not in Ranvier; the nearest name is torch.nn.Linear; what there is: docs/torch.md'
    """
    path, *rest = name.split(".")
    for part in rest:
        if path not in DOORS:
            return None
        try:
            value = f"{path}.{part}"
            if value not in DOORS:
                find(path, part)
        except MissingName:
            return missing(path, part)
        except AttributeError:
            return None  # `__file__` and the like
        path = value
    return None if path in DOORS or rest else f"{path} is not in Ranvier"


def files_of(script: Path) -> list[Path]:
    """The script, and the modules below its folder that it imports, also by way of others."""
    folder, found, left = script.parent, [], [script]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.append(path)
        for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for module in modules:
                place = folder.joinpath(*module.split("."))
                left += [p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()]
    return found


def report(script: str) -> int:
    """Print the names and which are missing; returns 1 where one is, else 0."""
    used: dict[str, str] = {}
    for path in files_of(Path(script)):
        for name, line in names_in(path):
            used.setdefault(name, f"{path}:{line}")
    lacking = {name: text for name in sorted(used) if (text := lookup(name))}
    print(f"{script}: {len(used)} names of PyTorch, {len(lacking)} of them missing")
    for name, text in lacking.items():
        print(f"  {used[name]}: {text}")
    return 1 if lacking else 0
