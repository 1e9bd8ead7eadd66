"""Ops that move data (indexing, joining, sorting): values and gradients against PyTorch, errors, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(4, 5, 6))
Y = RANDOM.normal(size=(4, 2, 6))
TIES = np.array([[2.0, np.nan, 2.0, -1.0, 0.0], [-0.0, 0.0, np.inf, -np.inf, np.nan]])
TINY = np.array([3e-45, -3e-45, 0.0, 1e-40, -1e-40, 1e-45], np.float32)
ALONG = RANDOM.integers(0, 5, (3, 7, 6))
DISTINCT = np.argsort(RANDOM.normal(size=(4, 5, 6)), axis=1)[:, :3]
VECTOR = np.array([2, 0, 3, 2])
MASK = RANDOM.random((4, 5)) < 0.5

# name -> f(library, tensors...) for arrays that become tensors of either library; the first two need gradients
CASES = {
    "gather": lambda t, x, y, i: t.gather(x, 1, i(ALONG)),
    "gather last": lambda t, x, y, i: t.gather(x, -1, i(ALONG[:, :5] % 6)),
    "scatter": lambda t, x, y, i: t.scatter(x, 1, i(DISTINCT[:, :2]), y),
    "scatter value": lambda t, x, y, i: x.scatter(1, i(DISTINCT), value=2.5),
    "scatter_add": lambda t, x, y, i: t.scatter_add(x, 0, i(VECTOR[:, None, None].repeat(2, 1).repeat(6, 2)), y),
    "index_select": lambda t, x, y, i: t.index_select(x, 2, i(VECTOR)),
    "index_add": lambda t, x, y, i: t.index_add(x, 1, i(np.array([3, 3])), y, alpha=2),
    "index_copy": lambda t, x, y, i: t.index_copy(x, 1, i(np.array([3, 1])), y),
    "index_fill": lambda t, x, y, i: x.index_fill(1, i(np.array([3, 1])), 2.0),
    "take_along_dim": lambda t, x, y, i: t.take_along_dim(x, i(ALONG[:1, :, :1]), 1),
    "x[i]": lambda t, x, y, i: x[i(VECTOR)],
    "x[:, i]": lambda t, x, y, i: x[:, i(VECTOR)],
    "x[-i]": lambda t, x, y, i: x[i(-VECTOR)],
    "x[i, :, j]": lambda t, x, y, i: x[i(VECTOR), :, i(VECTOR + 1)],
    "x[:, i, j]": lambda t, x, y, i: x[:, i(VECTOR), i(VECTOR[:, None])],
    "x[None, i, 1:3]": lambda t, x, y, i: x[None, i(VECTOR), 1:3],
    "x[mask]": lambda t, x, y, i: x[i(MASK)],
    "masked_select": lambda t, x, y, i: t.masked_select(x, i(MASK[:, :, None])),
    "masked_fill": lambda t, x, y, i: t.masked_fill(x, i(MASK[:, :, None]), -1.5),
    "cat": lambda t, x, y, i: t.cat([x, y, x], 1),
    "stack": lambda t, x, y, i: t.stack([x, x * 2], -1),
    "hstack": lambda t, x, y, i: t.hstack([x, y]),
    "vstack": lambda t, x, y, i: t.vstack([x, x]),
    "roll": lambda t, x, y, i: t.roll(x, (1, -8), (0, 2)),
    "roll flat": lambda t, x, y, i: t.roll(x, 7),
    "tile": lambda t, x, y, i: t.tile(x, (2, 3)),
    "repeat": lambda t, x, y, i: x.repeat(2, 1, 3, 2),
    "repeat_interleave": lambda t, x, y, i: t.repeat_interleave(x, 3, 1),
    "repeat_interleave counts": lambda t, x, y, i: t.repeat_interleave(x, i(np.array([2, 0, 1, 3])), 0),
    "tril": lambda t, x, y, i: t.tril(x, 1),
    "triu": lambda t, x, y, i: t.triu(x, -2),
    "rot90": lambda t, x, y, i: t.rot90(x, 1, (0, 2)) + t.rot90(x, -3, (0, 2)),
    "rot90 back": lambda t, x, y, i: t.rot90(x, 3, (2, 1)),
    "sort": lambda t, x, y, i: t.sort(x, 1)[0],
    "sort descending": lambda t, x, y, i: t.sort(x, 0, descending=True)[0],
    "msort": lambda t, x, y, i: t.msort(x),
    "topk": lambda t, x, y, i: t.topk(x, 3, 1)[0],
    "topk smallest": lambda t, x, y, i: t.topk(x, 2, largest=False)[0],
    "kthvalue": lambda t, x, y, i: t.kthvalue(x, 3, 1)[0],
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_pytorchs(oracle, name: str, backend: str) -> None:
    def run(lib) -> list:
        x, y = lib.tensor(X, requires_grad=True), lib.tensor(Y, requires_grad=True)
        out = CASES[name](lib, x, y, lib.tensor)
        weight = lib.tensor(np.linspace(-1, 2, out.numel()).reshape(tuple(out.shape)))
        (out * out * weight).sum().backward()
        grads = [np.zeros(v.shape) if v.grad is None else v.grad.numpy() for v in (x, y)]
        return [out.detach().numpy(), *grads]

    with rv.backend(backend):
        ours = run(rv)
    for a, b in zip(ours, oracle(run, f"index/{name}"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("sizes", [(1, 2), (2, 0, 1, 3), (3, 1)])
def test_pad_is_pytorchs(oracle, mode: str, sizes: tuple) -> None:
    def run(lib) -> list:
        x = lib.tensor(X[None] if len(sizes) > 2 else X, requires_grad=True)
        out = lib.nn.functional.pad(x, sizes, mode=mode)
        (out * out).sum().backward()
        return [out.detach().numpy(), x.grad.numpy()]

    for a, b in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_pad_crops_and_takes_a_value() -> None:
    x = rv.tensor([[1.0, 2.0, 3.0]])
    assert rv.pad(x, (-1, 1, 0, 1), value=9.0).tolist() == [[2.0, 3.0, 9.0], [9.0, 9.0, 9.0]]
    with pytest.raises(rv.ShapeError, match="of axis 1 must be at most 2 for mode='reflect'"):
        rv.pad(x, (3, 0), mode="reflect")


def test_writes_at_positions() -> None:
    x = rv.zeros(3, 4)
    x[rv.tensor([0, 2]), rv.tensor([1, -1])] = rv.tensor([5.0, 6.0])
    x[rv.tensor([True, False, False])] = 2.0
    assert x.tolist() == [[2.0] * 4, [0.0] * 4, [0.0, 0.0, 0.0, 6.0]]
    x[:, rv.tensor([3, 0])] = rv.tensor([[1.0], [2.0], [3.0]])
    assert x[:, 0].tolist() == x[:, 3].tolist() == [1.0, 2.0, 3.0]


def test_last_of_several_values_wins_and_sums_keep_their_order() -> None:
    index = rv.tensor([1, 1, 0, 1])
    assert rv.scatter(rv.zeros(2), 0, index, rv.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [3.0, 4.0]
    big = rv.tensor([1e8, 1.0, 5.0, -1e8])
    assert rv.scatter_add(rv.zeros(2), 0, index, big).tolist() == [5.0, 0.0]  # (0 + 1e8) + 1 - 1e8 in float32


def test_gradient_of_a_part_of_src() -> None:
    src = rv.ones(3, 4, requires_grad=True)
    rv.scatter_add(rv.zeros(5, 4), 0, rv.tensor([[0, 1], [4, 4]]), src).sum().backward()
    assert src.grad.tolist() == [[1.0, 1.0, 0.0, 0.0]] * 2 + [[0.0] * 4]


def test_position_changed_before_backward_is_noticed() -> None:
    w, index = rv.ones(3, requires_grad=True), rv.tensor([0, 1])
    out = w[index].sum()
    index.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward()


@pytest.mark.parametrize("shape, rows", [((50, 64), 3000), ((50,), 20000), ((9, 200), 500)])
def test_sums_have_the_same_bits_for_any_number_of_threads(shape: tuple, rows: int) -> None:
    values = RANDOM.normal(size=(rows, *shape[1:])).astype(np.float32)
    index = RANDOM.integers(0, shape[0], rows)
    before = rv.get_num_threads()
    wide = np.broadcast_to(index.reshape(-1, *[1] * (len(shape) - 1)), values.shape)
    results = set()
    try:
        for threads in (1, 2, 3, 4):
            rv.set_num_threads(threads)
            a = rv.index_add(np.zeros(shape, np.float32), 0, index, values)
            b = rv.scatter_add(np.zeros(shape, np.float32), 0, wide, values)
            results.add((a.tobytes(), b.tobytes()))
    finally:
        rv.set_num_threads(before)
    assert len(results) == 1 and len(set(*results)) == 1
    expected = np.zeros(shape, np.float32)
    np.add.at(expected, index, values)
    assert expected.tobytes() in next(iter(results))


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("value", [5, -6, 2**40])
def test_positions_out_of_range_raise(backend: str, value: int) -> None:
    index = np.array([[0, 1], [value, 2]])
    x = np.zeros((5, 5), np.float32)
    with rv.backend(backend):
        for call in (
            lambda: rv.gather(x, 0, index),
            lambda: rv.scatter(x, 0, index, np.ones((2, 2), np.float32)),
            lambda: rv.scatter_add(x, 1, index, np.ones((2, 2), np.float32)),
            lambda: rv.index_select(x, 1, index[1]),
            lambda: rv.tensor(x)[rv.tensor(index)],
            lambda: rv.one_hot(rv.tensor(index), 5),
        ):
            with pytest.raises(IndexError, match=f"{value}"):
                call()


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: rv.gather(rv.zeros(2, 3), 1, rv.tensor([0])),
            r"gather: index \(1,\) must have as many axes as input \(2, 3\)",
        ),
        (
            lambda: rv.gather(rv.zeros(2, 3), 1, rv.zeros(1, 1)),
            "gather: index has dtype float32, must be int32 or int64",
        ),
        (
            lambda: rv.cat([rv.zeros(2, 3), rv.zeros(3, 2)]),
            r"cat: shapes \(2, 3\), \(3, 2\) must be equal outside of dim=0",
        ),
        (lambda: rv.cat([rv.zeros(2), 1.0]), "cat: 1.0 of type float must be a tensor or an array"),
        (lambda: rv.stack([rv.zeros(2), rv.zeros(3)]), r"stack: shapes \(2,\) and \(3,\) must be equal"),
        (lambda: rv.topk(rv.zeros(2, 3), 4), r"topk: k=4 must be in \[0, 3\]"),
        (lambda: rv.tril(rv.zeros(3)), r"tril: shape \(3,\) must have at least 2 axes"),
        (lambda: rv.index_select(rv.zeros(3), 1, rv.tensor([0])), r"index_select: dim=1 must be in \[-1, 0\]"),
        (
            lambda: rv.index_add(rv.zeros(3, 2), 0, rv.tensor([0]), rv.zeros(2, 2)),
            r"source \(2, 2\) must have shape \(1, 2\)",
        ),
    ],
)
def test_messages(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("descending", [False, True])
def test_order_of_nan_ties_and_zeros_is_pytorchs(torch, dtype: str, descending: bool) -> None:
    x = np.tile(TIES, (1, 300)).astype(dtype)
    for n in (5, 40, 1500):
        values, indices = rv.sort(rv.tensor(x[:, :n]), 1, descending)
        expected = torch.sort(torch.tensor(x[:, :n]), dim=1, descending=descending, stable=True)
        np.testing.assert_array_equal(indices.numpy(), expected.indices.numpy())
        np.testing.assert_array_equal(values.numpy(), expected.values.numpy())
        top, _ = rv.topk(rv.tensor(x[:, :n]), 4, 1, largest=descending)
        np.testing.assert_array_equal(top.numpy(), values.numpy()[:, :4])


def test_denormals_keep_their_order() -> None:
    np.testing.assert_array_equal(rv.sort(rv.tensor(TINY)).values.numpy(), np.sort(TINY))
    wide = TINY.astype(np.float64) * 2.0**-900
    np.testing.assert_array_equal(rv.topk(rv.tensor(wide), 4).values.numpy(), np.sort(wide)[:1:-1])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_sorting_random_numbers(dtype: str) -> None:
    x = RANDOM.integers(0, 200, (3, 3000)).astype(dtype)
    if dtype != "uint8":
        x -= 100
    np.testing.assert_array_equal(rv.sort(rv.tensor(x)).values.numpy(), np.sort(x))
    np.testing.assert_array_equal(rv.argsort(rv.tensor(x)).numpy(), np.argsort(x, kind="stable"))
    top = rv.topk(rv.tensor(x), 7)
    np.testing.assert_array_equal(top.values.numpy(), np.sort(x)[:, ::-1][:, :7])
    np.testing.assert_array_equal(np.take_along_axis(x, top.indices.numpy(), 1), top.values.numpy())


def test_compiled_functions_index_alike() -> None:
    x, index = rv.tensor(X.astype(np.float32)), rv.tensor(VECTOR)

    def f(x, index):
        rows = rv.cat([x[index], rv.roll(x, 1, 0)], 0)
        summed = rv.index_add(rv.zeros(4, 5, 6), 0, index, x[index] * 2)
        return rv.topk(rows, 2).values, rv.pad(summed, (1, 1)), rv.tril(rows)

    for a, b in zip(rv.compile(f)(x, index), f(x, index)):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_empty_tensors() -> None:
    x = rv.zeros(0, 3)
    assert rv.cat([x, rv.ones(1, 3)]).tolist() == [[1.0] * 3]
    assert rv.gather(x, 0, rv.tensor(np.zeros((0, 3), np.int64))).shape == (0, 3)
    assert rv.sort(x, 0).values.shape == (0, 3)
    assert x[rv.tensor(np.zeros(0, np.int64))].shape == (0, 3)
    assert rv.nonzero(rv.zeros(4)).shape == (0, 1)


# ---------------------------------------------------------------- in place, in the tensor's own memory

IN_PLACE = {
    "index_add_": lambda x, i, s: x.index_add_(0, i, s, alpha=2),
    "index_copy_": lambda x, i, s: x.index_copy_(0, i, s),
    "index_fill_": lambda x, i, s: x.index_fill_(0, i, 7.0),
    "scatter_": lambda x, i, s: x.scatter_(0, i[:, None].expand(*s.shape), s),
    "scatter_add_": lambda x, i, s: x.scatter_add_(0, i[:, None].expand(*s.shape), s),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "overlapping"])
def test_in_place_is_the_copy_in_the_same_memory(name: str, layout: str) -> None:
    data = np.arange(60, dtype=np.float32).reshape(10, 6)
    x = rv.from_numpy(data[:, ::2] if layout == "strided" else data)
    index = rv.tensor([3, 0, -1, 3])
    source = x[2:6] if layout == "overlapping" else rv.from_numpy(np.full((4, x.shape[1]), 100, np.float32))
    copy = getattr(rv, name[:-1])
    wanted = (
        IN_PLACE[name](type("", (), {name: lambda self, *a, **k: copy(x, *a, **k)})(), index, source).numpy().copy()
    )
    saved = (rv.ones(1, requires_grad=True) * x).sum()
    for _ in range(2):  # the first call of a signature, and one that is known
        before = x._data
        assert IN_PLACE[name](x, index, source) is x and x._data is before
        np.testing.assert_array_equal(x.numpy(), wanted)
        np.copyto(data, np.arange(60, dtype=np.float32).reshape(10, 6))
    with pytest.raises(rv.GradError, match="in place"):
        saved.backward()


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_bad_index_in_place_changes_nothing(name: str) -> None:
    x = rv.tensor(np.arange(300000, dtype=np.float32).reshape(100000, 3))
    good = rv.tensor(np.arange(100000) % 7)
    source = rv.ones(100000, 3)
    IN_PLACE[name](x, good, source)
    before = x.numpy().copy()
    index = good.clone()
    index[99998] = 100000
    for _ in range(2):
        with pytest.raises(IndexError, match="100000"):
            IN_PLACE[name](x, index, source)
        np.testing.assert_array_equal(x.numpy(), before)


def test_in_place_of_what_is_recorded_or_read_only() -> None:
    index, source = rv.tensor([1, 1]), rv.ones(2, 2, requires_grad=True)
    x = rv.zeros(3, 2)
    x.index_add_(0, index, source)
    x.sum().backward()
    assert source.grad.tolist() == [[1, 1], [1, 1]] and x.tolist() == [[0, 0], [2, 2], [0, 0]]
    leaf = rv.zeros(3, 2, requires_grad=True)
    with pytest.raises(rv.GradError, match="leaf"):
        leaf.index_add_(0, index, rv.ones(2, 2))
    data = np.zeros((3, 2), np.float32)
    data.flags.writeable = False
    with pytest.raises(rv.DomainError, match="read-only"):
        rv.from_numpy(data).index_add_(0, index, rv.ones(2, 2))
    with pytest.raises(rv.ShapeError, match="source"):
        rv.zeros(3, 2).index_add_(0, index, rv.ones(3, 2))


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize(
    "shape", [(3, 17, 4, 32), (2, 130, 3, 16), (2, 70, 5, 7), (1, 1300, 2, 8), (2, 3, 5000, 4), (3, 1, 4, 300)]
)
@pytest.mark.parametrize("dims", [(0, 2, 1, 3), (2, 1, 0, 3), (1, 2, 0, 3), (0, 2, 3, 1)])
def test_permuted_copies(shape: tuple, dims: tuple, dtype: type) -> None:
    x = (np.arange(int(np.prod(shape))) % 251).astype(dtype).reshape(shape)
    for view in (x, x[:, ::-1], x[..., : shape[-1] - 1]):
        got = rv.from_numpy(view).permute(*dims).contiguous()
        np.testing.assert_array_equal(got.numpy(), view.transpose(dims))
