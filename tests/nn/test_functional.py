"""Functions of rv.nn.functional with rules of their own: an axis that is not given, channels of other shapes."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F


@pytest.mark.parametrize("shape, dim", [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_without_an_axis(name, shape, dim):
    """PyTorch's choice, and a warning that says which it is."""
    x = rv.rand(*shape)
    layer = {"softmax": rv.nn.Softmax, "log_softmax": rv.nn.LogSoftmax, "softmin": rv.nn.Softmin}[name]()
    wanted = getattr(F, name)(x, dim)
    for call in (getattr(F, name), layer):
        with pytest.warns(UserWarning, match=f"^{name}: dim is not given; dim={dim} is taken"):
            assert call(x).tolist() == wanted.tolist()
    with pytest.warns(UserWarning):
        assert getattr(F, name)(x.numpy()).tolist() == wanted.tolist()


@pytest.mark.parametrize("shape", [(50, 20), (4, 20, 3, 3, 2)])
def test_dropout2d_of_other_shapes(shape):
    """All of a channel, or nothing; with a warning."""
    with pytest.warns(UserWarning, match=r"^dropout2d: x\(.*\) has not 3 or 4 axes"):
        out = F.dropout2d(rv.ones(*shape), 0.5, True).numpy().reshape(*shape[:2], -1)
    assert set(np.unique(out)) == {0.0, 2.0} and (out == out[:, :, :1]).all()
    with pytest.raises(rv.ShapeError, match="^dropout2d: "):
        F.dropout2d(rv.ones(3), 0.5, True)
