"""Views that calls remember by strides, and x[...], against NumPy's: values, memory, gradients, changes in place."""

import random

import numpy as np
import pytest
import ranvier as rv

VIEWS = {
    "reshape": (lambda x: x.reshape(2, -1, 3), lambda a: a.reshape(2, -1, 3)),
    "view": (lambda x: x.view(24), lambda a: a.reshape(24)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda x: x.unsqueeze(0).squeeze(), lambda a: a),
    "transpose": (lambda x: x.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "T": (lambda x: x[0].T, lambda a: a[0].T),
    "movedim": (lambda x: x.movedim(0, 1), lambda a: np.moveaxis(a, 0, 1)),
    "narrow": (lambda x: x.narrow(1, 1, 2), lambda a: a[:, 1:3]),
    "select": (lambda x: x.select(-1, -1), lambda a: a[..., -1]),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda a: np.diagonal(a, 1, 1, 2)),
    "expand": (lambda x: x[:, :1].expand(2, 5, 4), lambda a: np.broadcast_to(a[:, :1], (2, 5, 4))),
    "whole": (lambda x: x[:], lambda a: a[:]),
    "row": (lambda x: x[-1], lambda a: a[-1]),
    "element": (lambda x: x[1, 2, 3], lambda a: a[1, 2, 3, ...]),
    "column": (lambda x: x[..., 2], lambda a: a[..., 2]),
    "mixed": (lambda x: x[None, 1, ::-2, None, np.int64(1) :], lambda a: a[None, 1, ::-2, None, 1:]),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("recorded", [False, True])
def test_views(name, recorded):
    ours, numpys = VIEWS[name]
    for _ in range(3):
        x = rv.arange(24, dtype="float32").reshape(2, 3, 4).clone()
        x.requires_grad = recorded
        y, wanted = ours(x), numpys(x.detach().numpy())
        assert y.shape == wanted.shape and y.requires_grad == recorded
        np.testing.assert_array_equal(y.detach(), wanted)
        assert np.shares_memory(y.detach().numpy(), x.detach().numpy())
        assert y.detach().numpy().flags.writeable == (name != "expand")
        if recorded:
            seed = rv.tensor(np.arange(wanted.size, dtype=np.float32).reshape(wanted.shape) + 1)
            y.backward(seed)
            grad = np.zeros((2, 3, 4), np.float32)
            np.add.at(grad.reshape(-1), numpys(np.arange(24).reshape(2, 3, 4)), seed.numpy())
            np.testing.assert_array_equal(x.grad, grad)
        else:
            before = x.version
            x.mul_(2)
            np.testing.assert_array_equal(y, wanted)  # the same memory
            assert y.version == x.version > before


@pytest.mark.parametrize("name", VIEWS)
def test_compiled_views(name):
    ours, numpys = VIEWS[name]
    x = rv.tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4), requires_grad=True)
    compiled = rv.compile(lambda x: (ours(x) * 2).sum() + ours(x * x).sum())
    for _ in range(3):
        ours(x)
        x.grad = None
        a = x.detach().numpy()
        loss = compiled(x)
        assert loss.item() == pytest.approx((numpys(a) * 2 + numpys(a * a)).sum())
        loss.backward()
        hits = np.zeros(24, np.float32)
        np.add.at(hits, numpys(np.arange(24).reshape(2, 3, 4)), 1)
        np.testing.assert_allclose(x.grad, hits.reshape(2, 3, 4) * (2 + 2 * a))


def test_random_indices():
    draw = random.Random(0)

    def item(n):
        kind = draw.randrange(6)
        if kind == 0 and n:
            return draw.randrange(-n, n)
        if kind < 4:
            ends = [draw.choice([None, draw.randrange(-n - 2, n + 3)]) for _ in range(2)]
            return slice(*ends, draw.choice([None, 1, 2, -1, -2, 5]))
        return slice(None)

    for turn in range(400):
        shape = tuple(draw.randrange(0 if turn % 7 == 0 else 1, 5) for _ in range(draw.randrange(4)))
        index = [item(n) for n in shape[: draw.randrange(len(shape) + 1)]]
        if draw.random() < 0.3:
            index.insert(draw.randrange(len(index) + 1), None)
        if draw.random() < 0.3:
            index.append(...)
        index = index[0] if len(index) == 1 else tuple(index)
        a = np.arange(float(np.prod(shape))).reshape(shape)
        numpys = a[index]
        for x in (rv.tensor(a), rv.tensor(a, requires_grad=True)):
            for got in (x[index], x[index], rv.compile(lambda x: x[index] * 1)(x)):  # noqa: B023
                assert got.shape == np.shape(numpys), (shape, index)
                np.testing.assert_array_equal(got.detach(), numpys)
            if x.requires_grad:
                x[index].sum().backward()
                marked = np.zeros(shape)
                marked[index] = 1
                np.testing.assert_array_equal(x.grad, marked)
        y = rv.tensor(a)
        y[index] = -1.0
        a[index] = -1.0
        np.testing.assert_array_equal(y, a)


def test_indices_out_of_range_every_time():
    x = rv.zeros(3, 2)
    for tensor in (x, rv.zeros(3, 2, requires_grad=True)):
        for _ in range(3):
            for index in (3, -4, (0, 2), (0, 0, 0)):
                with pytest.raises(rv.OutOfRangeError, match="index"):
                    tensor[index]


def test_changes_through_views_reach_the_tape():
    for _ in range(3):
        w = rv.ones(4, requires_grad=True)
        x = w * 2
        row = x[1:3]
        x[0] = 5.0
        (row * 3).sum().backward()  # the view follows its base
        assert w.grad.tolist() == [0, 6, 6, 0]
        y = rv.ones(4, 3)
        part = y[1]
        part += 1
        assert y[1].tolist() == [2, 2, 2] and y.detach()[1].requires_grad is False


def test_views_of_arrays_are_numpys():
    a = np.arange(12.0).reshape(3, 4)
    for _ in range(3):
        for got in (rv.reshape(a, (4, 3)), rv.permute(a, 1, 0), rv.narrow(a, 0, 1, 2), *rv.unbind(a), *rv.split(a, 2)):
            assert type(got) is np.ndarray and np.shares_memory(got, a)
        assert not np.shares_memory(rv.reshape(a.T, (12,)), a)  # has to be a copy
        np.testing.assert_array_equal(rv.reshape(a.T, (12,)), a.T.reshape(12))
        frozen = a.view()
        frozen.flags.writeable = False
        assert not rv.reshape(frozen, (12,)).flags.writeable and rv.reshape(a, (12,)).flags.writeable


def test_iteration():
    x = rv.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    for _ in range(3):
        x.grad = None
        rows = list(x)
        assert [r.tolist() for r in rows] == [[0, 1], [2, 3], [4, 5]]
        (rows[0] * rows[2]).sum().backward()
        assert x.grad.tolist() == [[4, 5], [0, 0], [0, 1]]
        with rv.no_grad():
            assert not any(r.requires_grad for r in x)
    assert [v.item() for v in rv.arange(3)] == [0, 1, 2]
