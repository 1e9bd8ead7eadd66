"""The native module by itself: plan validation, eager calls, tile programs, copies, threads and forks."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from ranvier import _native as native

CODE = {np.dtype(t): i for i, t in enumerate(["f4", "f8", "i4", "i8", "u1", "?"])}
ROWS = [name for name, row in native.op_table().items() if row[0] != "KERNEL"]
F4 = np.dtype("f4")
ids = iter(range(1 << 40, 1 << 41))  # call ids that no Call of the package has


def strides(shape):
    return tuple(int(np.prod(shape[d + 1 :])) for d in range(len(shape)))


def operand(slot, shape=(4,), dtype="f4", offset=0, stride=None):
    return (slot, offset, CODE[np.dtype(dtype)], shape, strides(shape) if stride is None else stride)


def program(steps, outputs, constants=(), dtype="f4"):
    """Attributes of a tile program; a step is (name, out register, in registers...)."""
    code, numbers = CODE[np.dtype(dtype)], []
    for name, out, *regs in steps:
        numbers += [ROWS.index(name), code, len(regs), out, *regs, *[-1] * (4 - len(regs))]
    return {"dtypes": [code] * len(constants), "constants": constants, "steps": numbers, "outputs": outputs}


ADD = program([("add", 2, 0, 1)], [2])


def add(ins, out, label="add"):
    return ("tile", ins, [out], ADD, label)


def run_tile(attrs, ins, shapes, dtype="f4", call=None):
    call = next(ids) if call is None else call
    result = native.eager(call, *ins)
    if result is None:
        outs = [(CODE[np.dtype(dtype)], shape) for shape in shapes]
        result = native.eager_add(call, ins, "tile", outs, attrs, "test")
    return result


# ---------------------------------------------------------------- plans


def chain_plan(n=10):
    """out = x + n, in n instructions through the arena."""
    slots = [("input", 16), ("arena", 0, 16), ("arena", 64, 16), ("output", 0, (4,)), ("bound", np.ones(4, "f4"))]
    code = [add([operand(0), operand(4)], operand(1))]
    for k in range(n - 2):
        code.append(add([operand(1 + k % 2), operand(4)], operand(2 - k % 2)))
    code.append(add([operand(1 + n % 2), operand(4)], operand(3)))
    return native.Plan(slots, code)


def test_plan_runs_and_describes():
    plan = chain_plan()
    x = np.arange(4, dtype="f4")
    for _ in range(3):
        (out,) = plan.run(x)
        np.testing.assert_array_equal(out, x + 10)
    assert plan.arena_bytes == 80
    assert plan.describe().count("\n") == 10 and "input#0 float32(4)" in plan.describe()


def test_plan_timings():
    plan = chain_plan()
    x = np.arange(4, dtype="f4")
    rows = plan.timings(5, x)
    assert [row[:2] for row in rows] == [("add", "tile")] * 10
    assert all(0 < row[2] < 1e9 for row in rows)
    np.testing.assert_array_equal(plan.run(x)[0], x + 10)
    with pytest.raises(TypeError, match="takes 1 arrays, not 0"):
        plan.timings(1)
    with pytest.raises(ValueError, match="repeats=0 must be at least 1"):
        plan.timings(0, x)


ROOM = [("arena", 0, 64), ("bound", np.zeros(8, "f4")), ("input", 16), ("output", 0, (4,))]
READ_ONLY = np.zeros(4, "f4")
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    "slots, instruction, rule",
    [
        (ROOM, ("nope", [], [], {}, "x"), r"instruction 0 \(x\): there is no kernel 'nope'"),
        (ROOM, add([operand(9), operand(0)], operand(0)), r"input 0: slot 9 must be in \[0, 4\)"),
        (ROOM, add([operand(-1), operand(0)], operand(0)), "slot -1 must be in"),
        (ROOM, add([operand(0), operand(0, offset=52)], operand(0)), r"input 1: bytes \[52, 68\).*slot's \[0, 64\)"),
        (ROOM, add([operand(0, offset=-4), operand(0)], operand(0)), "must lie within"),
        (ROOM, add([operand(0, offset=2**63 - 4), operand(0)], operand(0)), "larger than memory can be"),
        (ROOM, add([operand(0, (2**32, 2**31)), operand(0)], operand(0)), "larger than memory can be"),
        (ROOM, add([operand(0, (2**33, 2**33), stride=(0, 0)), operand(0)], operand(0)), "larger than memory can be"),
        (ROOM, add([operand(0, stride=(2**62,)), operand(0)], operand(0)), "larger than memory can be"),
        (ROOM, add([operand(0, stride=(-1,)), operand(0)], operand(0)), r"bytes \[-12, 4\)"),
        (ROOM, add([operand(0, stride=(6,)), operand(0)], operand(0)), "must lie within"),
        (ROOM, add([operand(0, offset=2), operand(0)], operand(0)), "multiple of the item size 4"),
        (ROOM, add([operand(0), operand(0)], operand(2)), "output 0: an input slot must not be written"),
        (ROOM, add([operand(0), operand(0)], operand(0, stride=(0,))), "must not broadcast"),
        (ROOM, add([operand(0, (2, 2)), operand(0, (2, 2))], operand(0, (2, 2), stride=(1, 1))), "must not overlap"),
        (ROOM, add([operand(0)], operand(0)), "must write a temporary register"),
        (ROOM, add([operand(0, (3,)), operand(0)], operand(0)), "inputs must broadcast to the output's shape"),
        (ROOM, add([operand(0, dtype="i4"), operand(0)], operand(0)), "must have the same dtype"),
        ([*ROOM, ("bound", READ_ONLY)], add([operand(0), operand(0)], operand(4)), "read-only array must not be written"),
        ([("arena", 2**62, 2**62)], add([operand(0), operand(0)], operand(0)), "slot 0: .* nor their sum"),
        ([("arena", -8, 64)], add([operand(0), operand(0)], operand(0)), "slot 0: offset and size must not be negative"),
        (ROOM, ("tile", [operand(0, (1,) * 9)], [operand(0)], ADD, "x"), "at most 8 axes"),
        (ROOM, ("tile", [(0, 0, 6, (4,), (1,))], [operand(0)], ADD, "x"), r"dtype code 6 must be in \[0, 6\)"),
        (ROOM, ("tile", [(0, 0, 0, (-1,), (1,))], [operand(0)], ADD, "x"), "sizes must not be negative"),
        (ROOM, ("tile", [(0, 0, 0, (4, 1), (1,))], [operand(0)], ADD, "x"), "shape and strides must be equally long"),
        (ROOM, ("copy", [operand(0)], [operand(0, (2,))], {}, "x"), "copy: .*must have the same shape"),
        ([("heap", 0, 64)], add([], operand(0)), "kind 'heap' must be"),
    ],
)  # fmt: skip
def test_plan_refuses(slots, instruction, rule):
    with pytest.raises(ValueError, match=rule):
        native.Plan(slots, [instruction])


@pytest.mark.parametrize("kernel", ["uniform", "normal", "randperm", "softmax", "slice_put", "embed", "cat", "sort"])
def test_operands_are_counted_before_they_are_read(kernel):
    attrs = {
        "uniform": {"low": 0.0, "high": 1.0}, "normal": {"mean": 0.0, "std": 1.0}, "softmax": {"dim": 0},
        "slice_put": {"start": (), "step": ()}, "embed": {"start": (), "step": ()}, "cat": {"dim": 0},
        "sort": {"dim": 0, "descending": False},
    }.get(kernel, {})  # fmt: skip
    for ins, outs in (([], []), ([operand(0)], []), ([operand(0)] * 2, []), ([], [operand(0)])):
        if (kernel, len(ins), len(outs)) != ("cat", 1, 1):
            with pytest.raises(ValueError, match="(takes|need|number of operands|in and out)"):
                native.Plan(ROOM, [(kernel, ins, outs, attrs, "x")])


def test_plan_refusal_names_the_instruction():
    good = add([operand(0), operand(0)], operand(0))
    with pytest.raises(ValueError, match=r"instruction 2 \(fc1\.bias\): input 1"):
        native.Plan(ROOM, [good, good, add([operand(0), operand(0, (40,))], operand(0), "fc1.bias")])


def bad(change):
    attrs = program([("add", 2, 0, 1), ("relu", 3, 2)], [3])
    change(attrs["steps"], attrs)
    return attrs


@pytest.mark.parametrize(
    "change, rule",
    [
        (lambda s, _: s.__setitem__(0, 10**6), "row number"),
        (lambda s, _: s.__setitem__(1, 7), "no instance for its dtype"),
        (lambda s, _: s.__setitem__(2, 1), "arity"),
        (lambda s, _: s.__setitem__(3, 0), "must write a temporary"),
        (lambda s, _: s.__setitem__(4, 3), "reads a register that nothing has written"),
        (lambda s, _: s.__setitem__(4, 95), "reads a register that nothing has written"),
        (lambda s, _: s.__setitem__(11, 2), "must not write a register that it reads"),
        (lambda s, _: s.pop(), "eight integers each"),
        (lambda s, a: a.update(steps=s * 50), "at most 96 steps"),
        (lambda s, a: a.update(outputs=[9]), "output register has not been written"),
        (lambda s, a: a.update(outputs=[]), "a register for each output"),
        (lambda s, a: a.update(dtypes=[0]), "each constant must have a dtype"),
        (lambda s, a: a.update(dtypes=[6], constants=[1.0]), "unknown dtype code"),
        (lambda s, a: a.update(steps=s[:1] + [0.5] + s[2:]), "'steps' must be a list of integers, not "),
        (lambda s, a: a.pop("steps"), r"\(x\): tile: attribute 'steps' is missing"),
    ],
)
def test_tile_program_is_checked(change, rule):
    with pytest.raises(ValueError, match=rule):
        native.Plan(ROOM, [("tile", [operand(0), operand(0)], [operand(1)], bad(change), "x")])


@pytest.mark.parametrize(
    "kernel, attrs, rule",
    [
        ("cumsum", {"dim": 0}, "cumsum: attribute 'reverse' is missing"),
        ("cumsum", {"dim": 1.0, "reverse": False}, "attribute 'dim' must be an integer, not 1.0"),
        ("cumsum", {"dim": True, "reverse": False}, "attribute 'dim' must be an integer, not True"),
        ("cumsum", {"dim": np.float32(1), "reverse": False}, "attribute 'dim' must be an integer"),
        ("cumsum", {"dim": 0, "reverse": 2}, "attribute 'reverse' must be True or False, not 2"),
        ("cumsum", {"dim": 0, "reverse": None}, "attribute 'reverse' must be True or False, not None"),
        ("cumsum", {"dim": 1, "reverse": False}, "dim out of range"),
        ("norm", {"dim": (0,), "keepdim": True, "p": "2"}, "attribute 'p' must be a number, not '2'"),
        ("norm", {"dim": 0, "keepdim": True, "p": 2.0}, "attribute 'dim' must be a list of integers, not 0"),
        ("norm", {"dim": (True,), "keepdim": True, "p": 2.0}, "attribute 'dim' must be a list of integers"),
        ("norm", {"dim": (0, 1), "keepdim": True, "p": 2.0}, "axes must ascend"),
    ],
)
def test_attributes_are_checked(kernel, attrs, rule):
    with pytest.raises(ValueError, match=r"instruction 0 \(x\): .*" + rule):
        native.Plan(ROOM, [(kernel, [operand(0)], [operand(1, (1,) if kernel == "norm" else (4,))], attrs, "x")])


def test_attributes_by_name():
    """In any order, with names that the kernel does not read, as Python's or NumPy's numbers."""
    x = np.arange(12, dtype="f4").reshape(3, 4)
    for dim, reverse in [(1, True), (np.int64(1), np.True_), (np.uint8(1), 1)]:
        attrs = {"reverse": reverse, "other": object(), "dim": dim}
        out = native.eager_add(next(ids), [x], "cumsum", [(0, (3, 4))], attrs, "x")
        np.testing.assert_array_equal(out, x[:, ::-1].cumsum(1)[:, ::-1])
    for p in (1, 1.0, np.float32(1), np.int32(1)):
        attrs = {"dim": (0, np.int64(1)), "keepdim": False, "p": p}
        assert native.eager_add(next(ids), [x], "norm", [(0, ())], attrs, "x") == 66
    assert native.op_table()["norm"] == ("KERNEL", {"dim": "integers", "keepdim": "flag", "p": "real"})
    assert native.op_table()["copy"] == ("KERNEL", {})


def test_run_refuses_arrays():
    plan = chain_plan()
    for array, error in [(np.zeros(5, "f4"), ValueError), ([0.0] * 4, TypeError)]:
        with pytest.raises(error, match="argument 0 must be"):
            plan.run(array)
    with pytest.raises(TypeError, match="takes 1 arrays, not 2"):
        plan.run(np.zeros(4, "f4"), np.zeros(4, "f4"))
    with pytest.raises(TypeError, match="__init__"):
        native.Plan.__new__(native.Plan).run()


def test_run_copies_arrays_that_it_cannot_read_in_place():
    slots = [("input", 16), ("input", 16), ("output", 0, (4,))]
    plan = native.Plan(slots, [add([operand(0), operand(1)], operand(2))])
    misaligned = np.zeros(17, "u1")[1:].view("f4")
    misaligned[:] = [5, 6, 7, 8]
    plain = np.arange(4, dtype="f4")
    for odd in (np.arange(8, dtype="f4")[::2], np.arange(4, dtype="f4")[::-1], misaligned, np.arange(4, dtype=">f4")):
        np.testing.assert_array_equal(plan.run(odd, plain)[0], odd + plain)
        np.testing.assert_array_equal(plan.run(plain, odd)[0], odd + plain)
        np.testing.assert_array_equal(plan.run(odd, odd)[0], odd + odd)


def test_bound_arrays_live_as_long_as_the_plan():
    weight = np.full(4, 2, "f4")
    base = weight[:]  # a weakly referenced view whose memory is weight's
    alive = weakref.ref(base)
    slots = [("bound", base), ("output", 0, (4,))]
    plan = native.Plan(slots, [add([operand(0), operand(0)], operand(1))])
    del base, slots
    gc.collect()
    assert alive() is not None
    weight[:] = 3  # bound memory is read at each run
    np.testing.assert_array_equal(plan.run()[0], np.full(4, 6, "f4"))
    del plan
    gc.collect()
    assert alive() is None


def test_bound_views_with_negative_strides():
    data = np.arange(8, dtype="f4")
    plan = native.Plan([("bound", data[::-2]), ("output", 0, (4,))], [add([operand(0, stride=(-2,))] * 2, operand(1))])
    np.testing.assert_array_equal(plan.run()[0], 2 * data[::-2])


# ---------------------------------------------------------------- epochs


def loop_plan(batch=2, width=3):
    """totals: copies of x[0, 0] and of y[0] of each gathered batch; sums: bound, adds up all rows of x."""
    sums = np.zeros((batch, width), "f4")
    slots = [("input", batch * width * 4), ("input", batch * 8), ("output", 0, ()), ("output", 3, ()), ("bound", sums)]
    plan = native.Plan(
        slots,
        [
            add([operand(0, (batch, width)), operand(4, (batch, width))], operand(4, (batch, width))),
            ("copy", [operand(0, ())], [operand(2, ())], {}, "first x"),
            ("copy", [operand(1, (), "i8")], [operand(3, (), "i8")], {}, "first y"),
        ],
    )
    return plan, sums


@pytest.mark.parametrize("width", [3, 50_000])  # the second is gathered by the team
def test_loop(width):
    rows, batch = 10, 2
    plan, sums = loop_plan(batch, width)
    x = np.random.default_rng(0).standard_normal((rows, width)).astype("f4")
    y = np.arange(rows) * 10
    index = np.random.default_rng(1).permutation(rows)
    totals = np.zeros(2)
    assert plan.loop((x, y), index, batch, 0, 3, totals) == 3
    np.testing.assert_allclose(totals, [x[index[:6:2], 0].astype("f8").sum(), y[index[:6:2]].sum()])
    np.testing.assert_allclose(sums, x[index[:6]].reshape(3, batch, width).sum(0), rtol=1e-6, atol=1e-6)
    lines = np.ones((3, 2))  # two steps a line
    assert plan.loop([x, y], index, batch, begin=3, end=5, totals=lines, every=2) == 2
    np.testing.assert_allclose(
        lines, [[1, 1], [1 + x[index[6], 0], 1 + y[index[6]]], [1 + x[index[8], 0], 1 + y[index[8]]]]
    )


def test_loop_refuses():
    plan, _ = loop_plan()
    x, y, index, totals = np.zeros((6, 3), "f4"), np.zeros(6, "i8"), np.arange(6), np.zeros(2)
    good = dict(data=(x, y), index=index, batch=2, begin=0, end=3, totals=totals)
    assert plan.loop(**good) == 3
    for change, error, rule in [
        (dict(index=index + 1), IndexError, r"index\[5\]=6 must be in \[0, 6\)"),
        (dict(index=index - 1), IndexError, r"index\[0\]=-1"),
        (dict(index=index.astype("i4")), ValueError, "index must be"),
        (dict(end=4), ValueError, "index has 6 entries"),
        (dict(begin=2, end=1), ValueError, "begin <= end"),
        (dict(batch=3, end=2), ValueError, "must fill the input's 24"),
        (dict(data=(x,)), ValueError, "data has 1 arrays"),
        (dict(data=(x.view("i4"), y)), ValueError, "another dtype"),
        (dict(data=(x.T, y)), ValueError, "C-contiguous"),
        (dict(data=(x[:2], y)), IndexError, r"index\[2\]=2 must be in \[0, 2\)"),
        (dict(totals=np.zeros(3)), ValueError, "totals has 3"),
        (dict(totals=np.zeros(2, "f4")), ValueError, "totals must be"),
        (dict(every=1), ValueError, r"must have 3 \* 2"),
    ]:
        with pytest.raises(error, match=rule):
            plan.loop(**{**good, **change})


def test_loop_can_be_interrupted():
    code = """
import os, signal, threading, numpy as np, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in what runs in the background
import test_native as t
plan, _ = t.loop_plan(2, 1000)
n = 5_000_000
data = np.zeros((2, 1000), "f4"), np.zeros(2, "i8")
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    plan.loop(data, np.zeros(2 * n, "i8"), 2, 0, n, np.zeros(2))
except KeyboardInterrupt:
    print("interrupted")
"""
    out = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, text=True, timeout=120)
    assert out.stdout.strip() == "interrupted", out.stderr


# ---------------------------------------------------------------- eager


def test_eager_misses_then_hits():
    call, x, y = next(ids), np.ones((2, 3), "f4"), np.ones(3, "f4")
    assert native.eager(call, x, y) is None
    np.testing.assert_array_equal(native.eager_add(call, [x, y], "tile", [(0, (2, 3))], ADD, "add"), x + y)
    np.testing.assert_array_equal(native.eager(call, x * 2, y), x * 2 + y)
    assert native.eager(next(ids), x, y) is None
    assert native.eager(call, x, np.ones((1, 3), "f4")) is None  # another shape
    assert native.eager(call, x.T.copy().T, y) is None  # other strides
    assert native.eager(call, x, y.astype("f8")) is None


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, ">f4"),
        np.zeros(13, "u1")[1:].view("f4"),
        np.zeros(3, "f2"),
        np.zeros(3, "c8"),
        np.zeros((1,) * 9, "f4"),
        np.zeros(3, [("a", "f4"), ("b", "u1")])["a"],
        [1.0, 2.0, 3.0],
        np.float32(1),
    ],
    ids=lambda a: str(getattr(a, "dtype", type(a))),
)
def test_eager_leaves_strange_arrays_to_python(array):
    assert native.eager(next(ids), array) is None
    with pytest.raises((ValueError, TypeError)):
        native.eager_add(next(ids), [array, array], "tile", [(0, (3,))], ADD, "add")


def test_eager_in_place():
    call, x, y = next(ids), np.ones(4, "f4"), np.full(4, 2, "f4")
    assert native.eager_add(call, [x, y], "tile", [0], ADD, "add_") is x
    assert native.eager(call, x, y) is x
    np.testing.assert_array_equal(x, np.full(4, 5, "f4"))
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        native.eager(call, x, y)


def test_eager_cache_is_bounded():
    x = np.ones(2, "f4")
    for _ in range(5000):
        native.eager_add(next(ids), [x, x], "tile", [(0, (2,))], ADD, "add")
    assert native.config()["eager_signatures"] <= 4096


def test_large_results_are_recycled_and_bounded():
    call, x = next(ids), np.ones(1 << 20, "f4")
    native.eager_add(call, [x, x], "tile", [(0, x.shape)], ADD, "add")
    held = [native.eager(call, x, x) for _ in range(20)]  # empties the cache
    first = native.eager(call, x, x)
    where = first.ctypes.data
    assert where % 64 == 0 and first.flags.writeable and first.flags.c_contiguous
    view = first[1:]
    del first
    assert native.eager(call, x, x).ctypes.data != where  # a view keeps its memory
    del view
    assert native.eager(call, x, x).ctypes.data == where
    many = [native.eager(call, x, x) for _ in range(40)]
    block = (5 << 20) + 4096
    assert native.config()["cached_bytes"] <= 64 << 20
    del many, held
    assert 64 << 20 < native.config()["cached_bytes"] <= 62 * block  # no more than was in use
    time.sleep(2.1)
    native.eager(call, x, x)
    assert native.config()["cached_bytes"] <= 64 << 20  # what nothing has used for a while goes back


# ---------------------------------------------------------------- tile programs


LAYOUTS = {
    "c": lambda a: np.asarray(a, order="C"),
    "f": lambda a: np.asarray(a, order="F"),
    "sliced": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "flipped": lambda a: np.ascontiguousarray(a[::-1])[::-1] if a.ndim else a,
}
SHAPES = [
    [(), ()], [(1,), ()], [(3,), (3,)], [(0, 3), (3,)], [(5, 7), (7,)], [(5, 7), (5, 1)], [(7, 1), (1, 5)],
    [(2, 1, 4), (3, 1)], [(33, 70), (70,)], [(3, 5000), (3, 1)], [(600, 90), (600, 90)], [(2, 3, 4, 5, 6), (4, 1, 6)],
    [(70, 2, 65), (2, 1)], [(1, 1, 1), (1,)], [(300, 400), ()],
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_tile_broadcasts(shapes, dtype, layout):
    rng = np.random.default_rng(0)
    a, b = (LAYOUTS[layout](np.asarray(rng.integers(0, 100, s)).astype(dtype)) for s in shapes)
    attrs = program([("add", 2, 0, 1)], [2], dtype=dtype)
    out_shape = np.broadcast_shapes(*shapes)
    for x, y in [(a, b), (b, a)]:
        np.testing.assert_array_equal(run_tile(attrs, [x, y], [out_shape], dtype), x + y)


@pytest.mark.parametrize("shape", [(3,), (40, 50), (9000,), (130, 1000)], ids=str)
def test_tile_chain_with_constants_and_several_outputs(shape):
    # s = x + y; t = relu(s); u = (t + 0.5) + bias; outputs u, s, u again
    steps = [("add", 5, 0, 1), ("relu", 6, 5), ("add", 7, 6, 3), ("add", 6, 7, 2)]
    attrs = program(steps, [6, 5, 6], constants=[0.5, 7.0])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, *shape)).astype("f4")
    bias = rng.standard_normal(shape[-1:]).astype("f4")
    u, s, again = run_tile(attrs, [x, y, bias], [shape] * 3)
    np.testing.assert_array_equal(s, x + y)
    np.testing.assert_array_equal(u, (np.maximum(x + y, 0) + np.float32(0.5)) + bias)
    np.testing.assert_array_equal(again, u)


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_do_what_their_steps_do_one_by_one(seed):
    """Chains in registers, stores, reloads and rests give the bits of single ops."""
    rng = np.random.default_rng(seed)
    dtype = ["f4", "f8"][seed % 2]
    shape = [(1000,), (2048 + 77,), (300,), (7, 5000), (129,), (40, 33), (600 * 512,)][rng.integers(7)]
    kinds = [shape, shape, (), shape[-1:]]
    ins = [np.asarray(rng.uniform(-2, 2, kinds[k]), dtype) for k in rng.integers(0, 4, 3)]
    constants = [0.5, -1.25]
    value = [np.broadcast_to(a, shape) for a in ins] + [np.full(shape, c, dtype) for c in constants]
    names = [
        name
        for name in ROWS
        if native.op_table()[name][0] == "EW" and native.op_table()[name][2] in ("ALL", "NUMERIC", "FLOAT")
    ]
    light = ["add", "sub", "mul", "maximum", "neg", "square", "clamp", "relu_grad", "hardswish", "div"]
    steps, last = [], None
    for _ in range(rng.integers(2, 14)):
        name = str(rng.choice(light if rng.random() < 0.9 else names))
        regs = [int(r) for r in rng.integers(0, len(value), native.op_table()[name][1])]
        if last is not None and rng.random() < 0.7:
            regs[rng.integers(len(regs))] = last
        free = [r for r in range(5, len(value)) if r not in regs]
        out = int(rng.choice(free)) if free and rng.random() < 0.3 else len(value)
        single = program([(name, len(regs), *range(len(regs)))], [len(regs)], dtype=dtype)
        result = run_tile(single, [np.ascontiguousarray(value[r]) for r in regs], [shape], dtype)
        value[out : out + 1] = [result]
        steps.append((name, out, *regs))
        last = out
    outputs = [last, *(int(r) for r in rng.choice(range(len(value)), rng.integers(0, 3)))]
    attrs = program(steps, outputs, constants, dtype)
    got = run_tile(attrs, ins, [shape] * len(outputs), dtype)
    for o, g in zip(outputs, got if len(outputs) > 1 else [got]):
        np.testing.assert_array_equal(g, value[o], err_msg=str(steps))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_tile_output_over_an_input_that_is_read_later(order):
    # s = x + y is written over x, then t = s + x still needs x
    n = 5000
    memory = {k: np.arange(n, dtype="f4") for k in "xy"}
    attrs = program([("add", 2, 0, 1), ("add", 3, 2, 0)], [2 + order[0], 2 + order[1]])
    slots = [("bound", memory["x"]), ("bound", memory["y"]), ("output", 0, (n,))]
    outs = [operand(0, (n,)), operand(2, (n,))]
    plan = native.Plan(slots, [("tile", [operand(0, (n,)), operand(1, (n,))], outs, attrs, "x")])
    (second,) = plan.run()
    base = np.arange(n, dtype="f4")
    expected = {2: base + base, 3: base + base + base}
    np.testing.assert_array_equal(memory["x"], expected[2 + order[0]])
    np.testing.assert_array_equal(second, expected[2 + order[1]])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_tile_output_over_an_input_that_is_an_output_too(order):
    # s = x + y is written over x, and x is the other output
    n = 5000
    base = np.arange(n, dtype="f4")
    x = base.copy()
    attrs = program([("add", 2, 0, 1)], [(2, 0)[k] for k in order])
    slots = [("bound", x), ("bound", base), ("output", 0, (n,))]
    outs = [(operand(0, (n,)), operand(2, (n,)))[k] for k in order]
    plan = native.Plan(slots, [("tile", [operand(0, (n,)), operand(1, (n,))], outs, attrs, "x")])
    (same,) = plan.run()
    np.testing.assert_array_equal(same, base)
    np.testing.assert_array_equal(x, base + base)


@pytest.mark.parametrize("shape", [(6, 5), (40, 100)], ids=str)
def test_tile_passes_inputs_and_constants_through(shape):
    attrs = program([], [0, 1], constants=[2.5])
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    same, constant = run_tile(attrs, [x.T.copy().T], [shape] * 2)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(constant, np.full(shape, 2.5, "f4"))


@pytest.mark.parametrize("shape", [(4, 6), (30, 200)], ids=str)
def test_tile_writes_strided_outputs(shape):
    r, c = shape
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    for memory, view in [
        (np.zeros((c, r), "f4"), lambda m: m.T),
        (np.zeros((r, 2 * c), "f4"), lambda m: m[:, ::2]),
        (np.zeros((r, c), "f4"), lambda m: m[::-1, ::-1]),
    ]:
        out = view(memory)
        stride = tuple(s // 4 for s in out.strides)
        plan = native.Plan(
            [("bound", x), ("bound", out)], [add([operand(0, shape)] * 2, operand(1, shape, stride=stride))]
        )
        assert plan.run() == ()
        np.testing.assert_array_equal(out, x + x)
        assert np.count_nonzero(memory) == x.size


# ---------------------------------------------------------------- copies


def copy(x):
    return native.eager_add(next(ids), [x], "copy", [(CODE[x.dtype], x.shape)], {}, "copy")


COPIES = {
    "0-d": ((), lambda a: a),
    "empty": ((0, 3), lambda a: a.T),
    "plain": ((100, 37), lambda a: a),
    "transpose small": ((5, 7), lambda a: a.T),
    "transpose": ((67, 129), lambda a: a.T),
    "transpose blocks": ((128, 256), lambda a: a.T),
    "batched": ((3, 40, 50), lambda a: a.transpose(0, 2, 1)),
    "reversed axes": ((17, 33, 20), lambda a: a.T),
    "heads": ((4, 20, 3, 16), lambda a: a.transpose(0, 2, 1, 3)),
    "channels last": ((2, 33, 8, 9), lambda a: a.transpose(0, 2, 3, 1)),
    "step": ((30, 40), lambda a: a[::3, 1::2]),
    "flip": ((30, 40), lambda a: a[::-1, ::-1]),
    "flipped transpose": ((64, 48), lambda a: a.T[::-1, ::-1]),
    "row": ((50,), lambda a: np.broadcast_to(a, (20, 50))),
    "column": ((50, 1), lambda a: np.broadcast_to(a, (50, 70))),
    "8 axes": ((2, 3, 1, 2, 3, 2, 1, 2), lambda a: a.transpose(7, 3, 1, 5, 0, 2, 6, 4)),
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "?"])
@pytest.mark.parametrize("case", COPIES)
def test_copy(case, dtype):
    shape, view = COPIES[case]
    x = view(np.random.default_rng(0).integers(0, 2 if dtype == "?" else 200, shape).astype(dtype))
    np.testing.assert_array_equal(copy(x), x)
    if x.ndim > 1:  # and into a transposed output
        out = np.zeros(x.shape[::-1], dtype)
        target = operand(1, x.shape, dtype, stride=tuple(s // out.itemsize for s in out.T.strides))
        source = operand(0, x.shape, dtype, stride=tuple(s // x.itemsize for s in x.strides))
        native.Plan([("bound", x), ("bound", out)], [("copy", [source], [target], {}, "x")]).run()
        np.testing.assert_array_equal(out.T, x)


# ---------------------------------------------------------------- threads, floating-point mode, processes


@pytest.fixture
def threads():
    before = native.num_threads()
    yield native.set_num_threads
    native.set_num_threads(before)


def test_same_bits_for_any_number_of_threads(threads):
    x = np.random.default_rng(0).standard_normal((300, 2000)).astype("f4")
    results = []
    for n in (1, 2, 3, 7):
        threads(n)
        assert native.num_threads() == n
        y = run_tile(ADD, [x, x[0]], [x.shape], call=-3)
        results.append((y, copy(y.T)))
    for y, t in results:
        np.testing.assert_array_equal(y, x + x[0])
        np.testing.assert_array_equal(t, y.T)


def big_plan(n=200_000, steps=6):
    """Alternates team instructions and serial ones; out = x + steps everywhere."""
    slots = [("input", 4 * n), ("arena", 0, 4 * n), ("bound", np.ones(n, "f4")), ("output", 0, (n,))]
    code = [add([operand(0, (n,)), operand(2, (n,))], operand(1, (n,)))]
    for _ in range(steps - 1):
        code.append(add([operand(1, (n,)), operand(2, (n,))], operand(1, (n,))))
        code.append(("copy", [operand(1)], [operand(1)], {}, "serial"))
    code.append(("copy", [operand(1, (n,))], [operand(3, (n,))], {}, "result"))
    return native.Plan(slots, code), n, steps


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_plan_runs_from_many_python_threads(threads, n_threads):
    threads(n_threads)
    plan, n, steps = big_plan()
    assert "team" in plan.describe()
    call, errors = next(ids), []

    def work(seed):
        x = np.full(n, seed, "f4")
        for _ in range(20):
            if (
                not (plan.run(x)[0] == seed + steps).all()
                or not (run_tile(ADD, [x, x], [x.shape], call=call) == 2 * seed).all()
            ):
                errors.append(seed)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(60)
        assert not w.is_alive()
    assert not errors


def test_denormals_flush_inside_only(threads):
    threads(2)
    for n in (4, 400_000):
        tiny = np.full(n, 1e-40, "f4")
        assert not run_tile(ADD, [tiny, tiny], [tiny.shape]).any()
        assert (tiny + tiny).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_runs_on_one_thread(threads):
    threads(2)
    plan, n, steps = big_plan()
    x = np.zeros(n, "f4")
    plan.run(x)  # the worker threads exist now, and will not in the child
    pid = os.fork()
    if pid == 0:
        ok = native.num_threads() == 1 and (plan.run(x)[0] == steps).all()
        os._exit(0 if ok else 1)
    for _ in range(300):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        threading.Event().wait(0.1)
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        pytest.fail("the child hangs")
    assert status == 0
    np.testing.assert_array_equal(plan.run(x)[0], steps)


def python(code, **env):
    code = "import sys; sys.path.append(%r)\nimport _native as n\n" % os.path.dirname(native.__file__) + code
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )


def test_environment_caps_isa_and_threads():
    assert python("print(n.num_threads())", OMP_NUM_THREADS="1").stdout.strip() == "1"
    out = python("print(n.config()['default_threads_reason'])", OMP_NUM_THREADS="1")
    assert os.cpu_count() == 1 or out.stdout.strip() == "OMP_NUM_THREADS"
    out = python("print(n.isa())", RANVIER_ISA="v9")
    assert out.returncode == 0 and "RANVIER_ISA=v9 is ignored" in out.stderr
    assert out.stdout.strip() == python("print(n.isa())", RANVIER_ISA="").stdout.strip()
    for isa in ("v2", "v3", "v4"):
        out = python("print(n.isa())", RANVIER_ISA=isa)
        if out.returncode:  # built for better instruction sets only
            assert "ImportError" in out.stderr and "instruction sets" in out.stderr
        else:
            assert out.stdout.strip() <= isa


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs thread affinity")
def test_many_threads_on_one_cpu():
    code = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import test_native as t
assert t.native.num_threads() == 1 and t.native.config()["default_threads_reason"] == "CPU affinity"
t.native.set_num_threads(8)
plan, size, steps = t.big_plan()
for _ in range(20):
    assert (plan.run(t.np.zeros(size, "f4"))[0] == steps).all()
print("done")
"""
    out = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == "done", out.stderr


def test_set_num_threads_refuses():
    with pytest.raises(ValueError, match="n=0 must be at least 1"):
        native.set_num_threads(0)


def test_trace_calls_refuse_what_they_cannot_hold():
    import ranvier as rv

    def holding(*grads):
        return SimpleNamespace(grads=grads, entries=[], look=lambda: True)

    rv.ones(1) + 1  # connects the module
    plan = native.Plan([("output", 0, (2,))], [])
    with pytest.raises(TypeError, match="plan must be a Plan"):
        native.TraceCall("plan", [], True, holding(), [], False, [], iter([1]))
    with pytest.raises(TypeError, match="supported dtype"):
        native.TraceCall(plan, [np.zeros(2, complex)], True, holding(), [], True, [], iter([1]))
    with pytest.raises(TypeError, match="pairs"):
        native.TraceCall(plan, [], True, holding(("no tensor", None)), [], True, [], iter([1]))
    with pytest.raises(TypeError, match="updated tensors"):
        native.TraceCall(plan, [], True, holding(), [], True, ["no tensor"], iter([1]))
    with pytest.raises(ValueError, match="one output"):
        native.TraceCall(native.Plan([], []), [], True, holding(), [], True, [], iter([1]))
    with pytest.raises(ValueError, match="at most 62"):
        native.TraceCall(plan, [np.zeros(2)] * 63, True, holding(), [], True, [], iter([1]))
    call = native.TraceCall(plan, [np.zeros(2, "f4")], True, holding(), [], True, [], iter([1]))
    assert call.run() is NotImplemented and call.run(3) is NotImplemented and call.run(rv.ones(3)) is NotImplemented


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("n", [8, 20_000])  # on one thread, and by a team
@pytest.mark.parametrize("n_threads", [1, 3])
def test_faults_name_the_first_wrong_value_and_leave_the_plan_usable(n, n_threads, threads):
    import ranvier as rv
    import ranvier.nn.functional as F

    threads(n_threads)
    x, labels = rv.randn(n, 50), np.zeros(n, "i8")
    loss = rv.compile(lambda y: F.cross_entropy(x, y))
    expected = loss(labels)
    wrong = labels.copy()
    wrong[n // 2], wrong[-1] = 77, -5
    for _ in range(2):
        with pytest.raises(IndexError, match=rf"cross_entropy: index 77 at position {n // 2} must be in \[0, 49\]"):
            loss(wrong)
        assert loss(labels) == expected


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("gap", [1, 2])
def test_products_of_one_row_each_into_scattered_results(columns, gap):
    """C (5, 1, columns) whose batch axis and columns both have strides above 1, times one B: no row axis can stand for both."""
    k, row = 4, gap * columns + 1
    a, b = np.arange(5 * k, dtype="f4").reshape(5, 1, k), np.arange(k * columns, dtype="f4").reshape(k, columns)
    store = np.zeros(5 * row, "f4")
    slots = [("bound", a), ("bound", b), ("bound", store)]
    ins = [(0, 0, 0, (5, 1, k), (k, k, 1)), (1, 0, 0, (k, columns), (columns, 1))]
    out = (2, 0, 0, (5, 1, columns), (row, row, gap))
    attrs = {"transpose_a": False, "transpose_b": False, "bias": False, "precision": 0, "variant": 0}
    attrs |= program([], [])  # no epilogue
    native.Plan(slots, [("matmul", ins, [out], attrs, "matmul")]).run()
    wanted = np.zeros((5, row), "f4")
    wanted[:, : gap * columns : gap] = (a @ b)[:, 0]
    np.testing.assert_array_equal(store.reshape(5, row), wanted)
