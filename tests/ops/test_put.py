"""Writing at positions: values as PyTorch's, in place, gradients, errors; and what tensors say of themselves."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv

T = rv.tensor


def test_index_put():
    x = rv.zeros(2, 3)
    assert x.index_put_((T([0, 1]), T([2, 0])), T([1.0, 2.0])) is x and x.tolist() == [[0, 0, 1], [2, 0, 0]]
    x.index_put_((T([0, 0]), T([0, 0])), T(1.5), accumulate=True)
    assert x.tolist() == [[3, 0, 1], [2, 0, 0]]
    x.index_put_((x == 0,), T(9.0))
    assert x.tolist() == [[3, 9, 1], [2, 9, 9]]
    assert rv.index_put(np.zeros(3), (np.array([1]),), np.array([2.0])).tolist() == [0, 2, 0]
    v = rv.ones(2, requires_grad=True)
    (rv.index_put(rv.zeros(3), (T([0, 0]),), v, accumulate=True) * T([5.0, 1.0, 1.0])).sum().backward()
    assert v.grad.tolist() == [5, 5]


def test_into_parts():
    x = rv.arange(6.0).reshape(2, 3)
    assert rv.select_scatter(x, T([7.0, 8.0]), 1, -1).tolist() == [[0, 1, 7], [3, 4, 8]]
    assert rv.slice_scatter(x, T([[7.0], [8.0]]), 1, 1, 2).tolist() == [[0, 7, 2], [3, 8, 5]]
    assert rv.diagonal_scatter(x, T([7.0, 8.0]), 1).tolist() == [[0, 7, 2], [3, 4, 8]]
    assert rv.masked_scatter(x, x > 2, T([7.0, 8.0, 9.0])).tolist() == [[0, 1, 2], [7, 8, 9]]
    with pytest.raises(IndexError):
        rv.masked_scatter(x, x > 2, T([7.0]))


@pytest.mark.parametrize("reduce, with_self, alone", [
    ("sum", [11.0, 2.0, 8.0], [10.0, 2.0, 5.0]), ("mean", [11 / 3, 2.0, 4.0], [5.0, 2.0, 5.0]),
    ("prod", [24.0, 2.0, 15.0], [24.0, 2.0, 5.0]), ("amax", [6.0, 2.0, 5.0], [6.0, 2.0, 5.0]),
    ("amin", [1.0, 2.0, 3.0], [4.0, 2.0, 5.0]),
])  # fmt: skip
def test_scatter_reduce(reduce, with_self, alone):
    x, index, src = T([1.0, 2.0, 3.0]), T([0, 2, 0]), T([4.0, 5.0, 6.0])
    for include_self, wanted in ((True, with_self), (False, alone)):
        out = rv.scatter_reduce(x, 0, index, src, reduce, include_self=include_self)
        np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-6)
        assert x.clone().scatter_reduce_(0, index, src, reduce, include_self=include_self).tolist() == out.tolist()


def test_equal_extremes_share_the_gradient():
    x, src = T([2.0, 0.0]).requires_grad_(), T([2.0, 2.0, 1.0]).requires_grad_()
    rv.scatter_reduce(x, 0, T([0, 0, 0]), src, "amax").sum().backward()
    third = np.float32(1 / 3)
    assert x.grad.tolist() == [third, 1.0] and src.grad.tolist() == [third, third, 0.0]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (7, 3), (2, 2, 2)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(shape, wrap):
    wanted = np.zeros(shape)
    np.fill_diagonal(wanted, 5.0, wrap)
    x = rv.zeros(*shape)
    assert x.fill_diagonal_(5.0, wrap) is x
    np.testing.assert_array_equal(x.numpy(), wanted)


def test_what_tensors_say_of_themselves():
    x = T([1.5, 2.5])
    assert x.type() == "ranvier.FloatTensor" and x.type("torch.LongTensor").dtype == rv.int64
    assert x.type(rv.float64).type() == "ranvier.DoubleTensor" and x.byte().tolist() == [1, 2] and x.is_signed()
    assert x.is_cpu and x.get_device() == -1 and not x.is_complex() and x.is_same_size(rv.ones(2)) and T(1).is_nonzero()
    assert x.new_full((2,), 3).dtype == x.new_zeros(2).dtype == rv.float32 and x.new_tensor([1]).dtype == rv.float32


@pytest.mark.parametrize("call, error, message", [
    (lambda x: x.index_put_(T([0]), x), rv.DTypeError, "^index_put: indices must be a tuple"),
    (lambda x: x.index_put_((T([0]), T([0])), x), rv.ShapeError, r"^index_put: 2 indices are too many for input\(3,\)"),
    (lambda x: rv.scatter_reduce(x, 0, T([0]), x, "max"), rv.DomainError, "^scatter_reduce: reduce='max' must be"),
    (lambda x: rv.scatter_reduce(x, 0, T([9]), x, "amax"), rv.OutOfRangeError, "^scatter_reduce: index 9 at position 0"),
    (lambda x: rv.select_scatter(x, x, 0, 5), rv.OutOfRangeError, "^select_scatter: index=5 must be in"),
    (lambda x: rv.slice_scatter(x, x, 0, 1), rv.ShapeError, r"^slice_scatter: src\(3,\) must have the shape \(2,\)"),
    (lambda x: rv.masked_scatter(x, x, x), rv.DTypeError, "^masked_scatter: mask has dtype float32"),
    (lambda x: x.fill_diagonal_(1), rv.ShapeError, r"^fill_diagonal_: shape \(3,\) must be"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(rv.ones(3))


def test_shapes_change_in_place():
    x = rv.arange(6.0).reshape(2, 3).clone()
    assert x.t_() is x and x.shape == (3, 2) and x.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert x.unsqueeze_(0).shape == (1, 3, 2) and x.transpose_(0, 2).shape == (2, 3, 1) and x.squeeze_().shape == (2, 3)
    x += 1
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]

    compiled = rv.compile(lambda x: (x * 1).unsqueeze_(0) + 1)
    assert compiled(rv.ones(2)).tolist() == [[2, 2]] and compiled(rv.ones(2)).shape == (1, 2)
    with pytest.raises(rv.TraceError, match="^in-place change of the shape"):
        rv.compile(lambda: x.unsqueeze_(0) + 1)()
    w = rv.ones(2, 2, requires_grad=True)
    with pytest.raises(rv.GradError, match="^in-place change of the shape"):
        w.t_()
    y = (w * x[:, :2].clone()).sum()  # what a gradient reads does not change its shape unseen
    saved = rv.ones(2, 3)
    z = (w @ saved).sum()
    saved.t_()
    with pytest.raises(rv.GradError):
        z.backward()
    y.backward()
    w = w * 2
    assert w.detach_() is w and w.is_leaf and not w.requires_grad


def test_sum_to_size():
    x = rv.ones(2, 3, 4)
    assert (
        x.sum_to_size(3, 1).tolist() == [[8.0]] * 3 and x.sum_to_size((2, 3, 4)) is x and x.sum_to_size(()).item() == 24
    )
    with pytest.raises(rv.ShapeError, match=r"^sum_to_size: \(2,\) does not broadcast to \(2, 3, 4\)"):
        x.sum_to_size(2)


def test_distributions_in_place():
    rv.manual_seed(0)
    x = rv.empty(20000)
    assert abs(x.exponential_(2.0).mean().item() - 0.5) < 0.02 and x.min().item() >= 0
    assert abs(x.bernoulli_(0.3).mean().item() - 0.3) < 0.02 and set(x.unique().tolist()) == {0.0, 1.0}
    assert abs(x.geometric_(0.25).mean().item() - 4) < 0.2 and x.min().item() == 1
    assert abs(x.log_normal_(0.0, 0.5).log().std().item() - 0.5) < 0.02
    assert set(rv.empty(99, dtype=rv.int64).random_(3).tolist()) == {0, 1, 2}
    assert (
        set(rv.empty(99, dtype=rv.uint8).random_(5, 7).tolist()) == {5, 6}
        and rv.empty(9, dtype=rv.bool).random_().any()
    )
    assert rv.empty(2, 2).bernoulli_(rv.tensor([0.0, 1.0])).tolist() == [[0, 1]] * 2
    for call in (lambda: x.exponential_(0), lambda: x.bernoulli_(2.0), lambda: x.geometric_(1.0)):
        with pytest.raises(rv.OutOfRangeError, match="^(exponential|bernoulli|geometric)_: "):
            call()


def test_more_ways_to_make_tensors():
    np.testing.assert_allclose(rv.logspace(-2, 3, 7, 2.0, dtype=rv.float64).numpy(), np.logspace(-2, 3, 7, base=2.0))
    assert (
        rv.asarray([1.0, 2.0]).tolist() == [1, 2]
        and rv.is_floating_point(rv.ones(1))
        and not rv.is_floating_point(T(1))
    )
