"""The op table is complete, the native table says the same, and nobody else keeps lists of ops."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranvier as rv
from ops_support import OPS, all_ops, expected_inputs, has_shapes, make_inputs, samples_of, specs_of
from ranvier.core.dtypes import float32

KINDS = ("elementwise", "view", "kernel", "optimizer")
every_op = pytest.mark.parametrize("op", all_ops(), ids=lambda op: op.name)


@every_op
def test_record_is_complete(op):
    assert op.kind in KINDS
    assert callable(op.reference) and callable(op.infer)
    assert set(op.saves) <= set("ion")
    assert op.max_ulp >= 0 and op.domain[0] < op.domain[1]
    if op.kind == "elementwise":
        assert op.arity and op.edges, f"{op.name}: arity and edge values"
        assert any(not np.isfinite(e) for e in op.edges) and 0 in op.edges, f"{op.name}: edges need inf, nan and 0"
    else:
        assert op.samples, f"{op.name}: no samples"
    if op.kind == "view":
        assert callable(op.strides), f"{op.name}: a view says where its result lies in memory"


@every_op
def test_samples_are_accepted(op):
    """Every op has samples that its own rule takes, one of them without elements if its rule allows that."""
    taken = 0
    for sample in samples_of(op):
        if has_shapes(sample) or op.samples:
            arrays = expected_inputs(op, make_inputs(op, sample, float32 if op.rule != "logical" else np.dtype(bool)))
            taken += specs_of(op, arrays, sample.attrs) is not None
    assert taken, f"{op.name}: its rule refuses all of its samples"


def test_flops_are_numbers():
    for op in all_ops():
        for sample in samples_of(op):
            arrays = make_inputs(op, sample, float32)
            flops = op.flops(*arrays, **op.bind(**sample.attrs).attrs) if callable(op.flops) else op.flops
            assert flops >= 0 and flops == int(flops), op.name


def test_tables_agree():
    from ranvier import _native as native

    table = native.op_table()
    rows = {name for name, (kind, *_) in table.items() if kind != "KERNEL"}
    assert rows == {op.name for op in OPS.values() if op.kind == "elementwise"}
    assert table.keys() - rows - {"tile"} == {op.kernel for op in OPS.values() if op.kind in ("kernel", "optimizer")}
    for op in OPS.values():
        if op.kind == "elementwise":
            attributes = 0 if op.encode is not None else len(op.defaults)
            assert table[op.name][1] == op.arity + attributes, f"{op.name}: arity in csrc/core/*.def"


PLANT = """
import os
del os.environ["RANVIER_BACKEND"]  # as users run it
import ranvier as rv
from ranvier import _native
from ranvier.ops import OPS
table = _native.op_table()
{plant}
_native.op_table = lambda: table
rv.ones(2) + 1
"""


@pytest.mark.parametrize("plant, message", [
    ('table["planted"] = ("EW", 1, "FLOAT")', r"elementwise rows in csrc/core/\*.def without an Op record: \['planted'\]"),
    ('table["planted"] = ("KERNEL", 0, "")', r"kernel rows in csrc/core/\*.def without an Op record: \['planted'\]"),
    ('OPS["planted"] = type("Planted", (), dict(name="planted", kind="elementwise"))', r"elementwise ops without a row in csrc/core/\*.def: \['planted'\]"),
    ('del table["matmul"]', r"kernel ops without a row in csrc/core/\*.def: \['matmul'\]"),
])  # fmt: skip
def test_tables_that_disagree_stop_the_first_op(plant, message):
    """Nothing runs then, on NumPy neither: tests would compare the reference with itself."""
    done = subprocess.run([sys.executable, "-c", PLANT.format(plant=plant)], capture_output=True, text=True)
    assert done.returncode == 1 and re.search(f"BackendError: {message}", done.stderr), done.stderr


def test_no_lists_of_op_names():
    """Graph, passes and backends read properties of records; the only kernels that they know are the tile and the copy."""
    package = Path(rv.__file__).parent
    for folder in ("graph", "backends"):
        for path in (package / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            docs = {
                node.body[0].value for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
                and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            }  # fmt: skip
            named = {
                node.value for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs and node.value in OPS
            }  # fmt: skip
            assert named <= {"copy"}, f"{path.relative_to(package)} names the ops {sorted(named)}"


def test_defining_an_op_twice_is_an_error():
    from ranvier.ops import Op

    with pytest.raises(ValueError, match="op 'exp' is defined twice"):
        Op("exp", kind="elementwise", reference=lambda xp, x: x)


def test_unknown_attributes_are_named():
    with pytest.raises(TypeError, match=r"softmax: unknown attributes \['axis'\]"):
        OPS["softmax"].bind(axis=1)
