"""Writes the stubs in which type checkers and editors see the public functions and Tensor's methods:
`python tests/support/stubs.py`. tests/test_types.py says when they are out of date.

The functions' own annotations are the source: `Array` (ops/public.py) becomes overloads for tensors and for NumPy arrays, and
NumPy's spellings of parameters are taken too.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import ranvier as rv
import ranvier.nn.functional as F
from ranvier import ops
from ranvier.ops.linalg import SlogdetResult
from ranvier.ops.public import SPELLINGS
from ranvier.ops.scan import RunningResult
from ranvier.ops.sort import SortResult

PACKAGE = Path(rv.__file__).parent
Parameter = inspect.Parameter
PAIRS = (RunningResult, SlogdetResult, SortResult)
HEADER = """# Made by tests/support/stubs.py; do not edit.
# mypy: disable-error-code="overload-overlap"
"""


def signatures(function: Any) -> list[inspect.Signature]:
    """Those of the function's overloads, or its own; with NumPy's spellings."""
    function = inspect.unwrap(function)
    own = typing.get_overloads(function) or [function]
    return [spelled for f in own for spelled in respelled(inspect.signature(f))]


def respelled(signature: inspect.Signature) -> list[inspect.Signature]:
    """Parameters that may be left out get another one for each other name; for those that must be given, so must it."""
    parameters, more, result = [], [], []
    for p in signature.parameters.values():
        others = [theirs for theirs, ours in SPELLINGS.items() if p.name in ours]
        required = p.default is p.empty
        if p.kind is p.VAR_POSITIONAL and "Array" not in p.annotation:  # sizes, or axes: also as one argument
            others, p, required = [p.name, *others], p.replace(name=f"{p.name}_"), False
        if required:
            for theirs in others:
                names = {p.name: theirs}
                result += [
                    signature.replace(
                        parameters=[q.replace(name=names.get(q.name, q.name)) for q in signature.parameters.values()]
                    )
                ]
        else:
            default = ... if p.kind is p.VAR_POSITIONAL else p.default
            more += [p.replace(name=theirs, kind=p.KEYWORD_ONLY, default=default) for theirs in others]
        parameters.append(p)
    return [signature.replace(parameters=sorted([*parameters, *more], key=lambda p: p.kind)), *result]


def written(signature: inspect.Signature, taken: str, given: str, first: str = "") -> str:
    """(parameters) -> result, with `taken` and `given` in place of Array; `first` in the first parameter that has it."""
    parts, taking = [], first or taken
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and "*" not in "".join(parts):
            parts.append("*")
        star = "*" if p.kind is p.VAR_POSITIONAL else ""
        annotation = "" if p.name == "self" else ": " + re.sub(r"\bArray\b", taking, p.annotation)
        taking = taken if taking in annotation else taking
        default = "" if p.default is p.empty else " = ..." if p.default is ... else f" = {p.default!r}"
        parts.append(f"{star}{p.name}{annotation}{default}")
    returns = re.sub(r"\bArray\b", given, signature.return_annotation)
    for pair in PAIRS:
        returns = returns.replace(pair.__name__, f"{pair.__name__}[{given}]")
    return f"({', '.join(parts)}) -> {returns}"


def definitions(name: str, variants: list[str], doc: str = "") -> str:
    """The `def` of a function, or of its overloads."""
    variants = list(dict.fromkeys(variants))
    indent = "    " if variants[0].startswith("(self") else ""
    body = f'\n{indent}    """{doc}"""' if doc else " ..."
    decorator = f"{indent}@overload\n" if len(variants) > 1 else ""
    return "".join(f"{decorator}{indent}def {name}{variant}:{body}\n" for variant in variants)


def function(name: str, function: Any) -> str:
    variants = []
    for signature in signatures(function):
        arrays = [p.annotation for p in signature.parameters.values() if "Array" in p.annotation]
        if not re.search("Array|" + "|".join(pair.__name__ for pair in PAIRS), signature.return_annotation):
            variants.append(written(signature, "TensorLike", "Tensor"))
        elif arrays == ["Array"]:
            variants.append(written(signature, "Tensor | Number", "Tensor"))
            variants.append(written(signature, "NDArray", "NDArray"))
        else:
            variants.append(written(signature, "TensorLike", "Tensor", first="Tensor"))
            variants.append(written(signature, "NDArray | Number", "NDArray"))
            variants.append(written(signature, "TensorLike", "Tensor"))
    return definitions(name, variants)


def method(name: str, attribute: Any) -> str:
    """Of a method that the class gets from a public function."""
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    variants = []
    for signature in signatures(attribute):
        parameters = [own, *list(signature.parameters.values())[1:]]
        if name.startswith("__"):  # Python passes operands alone
            parameters = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        returns = "Array" if name.endswith("_") else signature.return_annotation
        signature = signature.replace(parameters=parameters, return_annotation=returns)
        variants.append(written(signature, "TensorLike", "Tensor"))
    doc = "" if name.startswith("__") else (attribute.__doc__ or "").split("\n")[0].replace("\\", "\\\\")
    text = definitions(name, variants, doc)
    return text.replace(": ...", ": ...  # type: ignore[override]") if name in ("__eq__", "__ne__") else text


def typed(body: str, imports: str = "") -> str:
    """The body, and what it needs of typing."""
    names = [n for n in ("Any", "Generic", "Literal", "TypeVar", "overload") if re.search(rf"\b{n}\b", imports + body)]
    needs_sequence = "Sequence[" in body
    head = "from collections.abc import Sequence\n" if needs_sequence else ""
    return f"{HEADER}{head}from typing import {', '.join(names)}\n\n{imports}\n{body}"


def exported(names: list[str]) -> str:
    lines = textwrap.wrap(", ".join(map(repr, sorted(names))), 116)
    return "__all__ = [\n" + "".join(f"    {line}\n" for line in lines) + "]\n\n"


def ops_stub() -> str:
    imports = ["import numpy as np", "from numpy import typing as npt", "", "from ..tensor import Tensor"]
    for name, value in sorted(vars(ops).items()):
        if name.startswith("_") or name in ops.PUBLIC or name in ("FAMILIES", "PUBLIC", "annotations", "methods"):
            continue
        if isinstance(value, ModuleType):
            imports.append(f"from . import {value.__name__.rpartition('.')[2]} as {name}")
        else:
            home = getattr(value, "__module__", None) or "ranvier.ops.record"  # OPS, a dict
            imports.append(f"from .{home.rpartition('.')[2]} import {name} as {name}")
    pairs = ""
    for pair in PAIRS:
        fields = "".join(f"    @property\n    def {f}(self) -> A: ...\n" for f in pair._fields)
        pairs += f"class {pair.__name__}(tuple[A, A], Generic[A]):\n{fields}\n"
    body = (
        exported(ops.PUBLIC)
        + "NDArray = npt.NDArray[Any]\nNumber = float | np.generic\nTensorLike = Tensor | NDArray | Number\n"
        + f'A = TypeVar("A")\n\n{pairs}'
        + "FAMILIES: tuple[Any, ...]\nPUBLIC: list[str]\n\ndef methods() -> list[tuple[str, bool]]: ...\n"
    )
    return typed(body + "".join(function(name, getattr(ops, name)) for name in sorted(ops.PUBLIC)), "\n".join(imports))


def functional_stub() -> str:
    imports = ["from ..ops import NDArray, Number, TensorLike"]
    body = exported(F.__all__)
    for name in sorted(F.__all__):
        if getattr(ops, name, None) is getattr(F, name):
            imports.append(f"from ..ops import {name} as {name}")
        else:
            body += function(name, getattr(F, name))
    return typed(body, "\n".join([*imports, "from ..tensor import Tensor", ""]))


def qualified(attribute: Any) -> str:
    return getattr(attribute, "__qualname__", "Tensor.")


def methods_stub() -> str:
    imports = "from .ops import RunningResult, SlogdetResult, SortResult, TensorLike\nfrom .random import Generator\nfrom .tensor import Tensor\n"
    attached = {n: a for n, a in vars(rv.Tensor).items() if hasattr(a, "__wrapped__") or "." not in qualified(a)}
    return typed("class Methods:\n" + "".join(method(n, a) for n, a in sorted(attached.items())), imports)


STUBS = {
    PACKAGE / "ops" / "__init__.pyi": ops_stub,
    PACKAGE / "nn" / "functional.pyi": functional_stub,
    PACKAGE / "_methods.pyi": methods_stub,
}

if __name__ == "__main__":
    for path, make in STUBS.items():
        path.write_text(make())
