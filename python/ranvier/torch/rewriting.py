"""Scripts that import torch import `ranvier.torch` instead: their source is rewritten as it is compiled, nothing else is."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import CodeType
from typing import Any

from .doors import TOPS, module_name


class _Imports(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top not in TOPS:
                statements.append(ast.Import([alias]))
                continue
            here = module_name(alias.name)
            if alias.asname or here == module_name(top):
                statements.append(ast.Import([ast.alias(here, alias.asname or top)]))
            else:  # `import torch.nn` loads it, and binds `torch`
                statements.append(ast.Import([ast.alias(here, "_")]))
                statements.append(ast.Import([ast.alias(module_name(top), top)]))
        return [ast.copy_location(statement, node) for statement in statements]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        if node.level == 0 and (node.module or "").partition(".")[0] in TOPS:
            node.module = module_name(node.module or "")
        return node


def compiled(source: str | bytes, path: str) -> CodeType:
    """The code of a script, with its imports rewritten."""
    tree = ast.fix_missing_locations(_Imports().visit(ast.parse(source, path)))
    return compile(tree, path, "exec", dont_inherit=True)


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:  # not from a cache of bytecode, which Python's own loader shares
        return compiled(self.get_data(self.path), self.path)


class Finder(importlib.abc.MetaPathFinder):
    """Loads modules below a folder with their imports rewritten; installed packages below it are left as they are."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return None
        origin = Path(spec.origin).resolve()
        below = origin.is_relative_to(self.folder) and "site-packages" not in origin.parts
        if not below or origin.is_relative_to(Path(__file__).resolve().parents[1]):
            return None
        places = spec.submodule_search_locations
        return importlib.util.spec_from_file_location(
            fullname, origin, loader=_Loader(fullname, str(origin)), submodule_search_locations=places
        )


def rewrite_below(folder: Path) -> None:
    """From now on modules below `folder` are loaded with their imports rewritten."""
    sys.meta_path.insert(0, Finder(folder))
