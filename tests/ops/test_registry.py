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
from ranvier.core.tape import Edge, saved

KINDS = ("elementwise", "view", "kernel", "optimizer", "host")
every_op = pytest.mark.parametrize("op", all_ops(), ids=lambda op: op.name)


@every_op
def test_record_is_complete(op):
    assert op.kind in KINDS
    assert callable(op.reference) and callable(op.infer)
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


@every_op
def test_the_gradient_rule_reads_what_is_saved_and_nothing_else(op):
    """Edges stand for inputs that are not saved, None for outputs: reading their values is an error. And each position that
    is saved is read for some sample.
    """
    if op.vjp is None:
        return
    read: set = set()
    claimed: set = set()
    for sample in samples_of(op):
        arrays = expected_inputs(op, make_inputs(op, sample, float32))
        if specs_of(op, arrays, sample.attrs) is None:
            continue
        floats = [k for k, a in enumerate(arrays) if a.dtype == float32]
        for needed in {tuple(floats), *((k,) for k in floats)} - {()}:
            needs = sum(1 << k for k in needed)
            inputs = [rv.from_numpy(a).requires_grad_(bool(needs >> k & 1)) for k, a in enumerate(arrays)]
            call = op.bind(**sample.attrs)
            call = call.recorded or call  # what a tape holds
            with rv.no_grad():
                outs = call.apply(tuple(inputs))
            outs = outs if isinstance(outs, tuple) else (outs,)
            if all(t.dtype != float32 for t in outs):
                continue
            masks = saved(call.saves_inputs, needs), saved(call.saves_outputs, needs)
            positions = {("i", k) for k in range(len(inputs)) if masks[0] >> k & 1}
            positions |= {("o", k) for k in range(len(outs)) if masks[1] >> k & 1}

            def rule(kept, inputs=inputs, outs=outs, call=call):
                some_inputs = [t if ("i", k) in kept else Edge(t) for k, t in enumerate(inputs)]
                some_outs = [t if ("o", k) in kept else None for k, t in enumerate(outs)]
                gs: list = [rv.ones(t.shape, dtype=t.dtype) if t.dtype == float32 else None for t in outs]
                gs[len(gs) - op.extras :] = [None] * op.extras  # callers see none of them
                with rv.no_grad():
                    if len(outs) == 1:
                        return op.vjp(gs[0], some_outs[0], *some_inputs, **call.attrs)
                    return op.vjp(tuple(gs), tuple(some_outs), *some_inputs, **call.attrs)

            rule(positions)  # reads nothing else
            claimed |= positions
            for p in positions - read:
                try:
                    rule(positions - {p})
                except (AttributeError, TypeError):  # DTypeError is a TypeError
                    read.add(p)
    assert claimed == read, f"{op.name}: saves {sorted(claimed - read)} for nothing"


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


def test_attributes_and_dtypes_agree(monkeypatch):
    pytest.importorskip("ranvier._native")
    from ranvier.backends import native
    from ranvier.core.errors import BackendError

    monkeypatch.setattr(OPS["cumsum"], "defaults", {"dim": 0})
    with pytest.raises(BackendError, match=r"that the op 'cumsum' lacks: \['reverse'\]"):
        native._check_tables()
    monkeypatch.undo()
    monkeypatch.setattr(native, "DTYPES", native.DTYPES[:-1])
    with pytest.raises(BackendError, match=r"core/dtypes.py has .*csrc/core/dtypes.def .*'BOOL'"):
        native._check_tables()


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
