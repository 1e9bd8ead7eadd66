"""Every public function of arrays: the same for arrays and tensors, at first and later, compiled, and by the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import ranvier as rv
from ops_support import same_bits
from public_calls import calls, public

FUNCTIONS = public()

# Results whose shape or type is made of values: a compiled function refuses them with a TraceError.
OF_VALUES = {
    "allclose": "a bool", "equal": "a bool", "argwhere": "counts", "nonzero": "counts", "masked_select": "counts",
    "unique_consecutive": "counts", "cummax": "NumPy's", "mode": "NumPy's", "cummin": "NumPy's", "index_put": "a mask counts", "scatter_reduce": "NumPy's but for sums", "one_hot": "without num_classes, counts", "where": "of a condition alone, counts", "unique": "counts", "bincount": "counts",
    "repeat_interleave": "repeats give the shape", "isin": "NumPy's", "searchsorted": "NumPy's", "bucketize": "NumPy's",
    **dict.fromkeys(
        ("cholesky", "cond", "det", "eigh", "eigvalsh", "inverse", "logdet", "lstsq", "matrix_norm", "matrix_power",
         "matrix_rank", "pinverse", "qr", "slogdet", "solve", "svd", "svdvals"), "LAPACK's"),
}  # fmt: skip


# Results of tensors that lie in the memory of an input, as PyTorch's do; all others have their own.
VIEWS = {
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "broadcast_to", "cartesian_prod", "chunk", "diagonal", "dsplit",
    "einsum", "expand", "expand_as", "flatten", "hsplit", "meshgrid", "movedim", "narrow", "permute", "positive", "ravel",
    "reshape", "select", "split", "squeeze", "swapaxes", "t", "tensor_split", "transpose", "unbind", "unflatten", "unsqueeze",
    "view", "vsplit", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip


def each(value, f):
    """`value` with f(a) for each array a in it."""
    if isinstance(value, np.ndarray):
        return f(value)
    if isinstance(value, (tuple, list)) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(each(v, f) for v in value)
    return value


def outcome(function, args):
    """What the call returns, as a flat list, or the error that it raises."""
    rv.manual_seed(3)
    try:
        return flat(function(*args))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        return error


def flat(result):
    return [part for r in result for part in flat(r)] if isinstance(result, (tuple, list)) else [result]


def same(a, b, near=False):
    if isinstance(a, Exception) or isinstance(b, Exception):
        return type(a) is type(b) and str(a) == str(b)
    if len(a) != len(b):
        return False
    for p, q in zip((np.asarray(p) for p in a), (np.asarray(q) for q in b)):
        if near and p.dtype == q.dtype and p.dtype.kind == "f":
            tolerance = 1e-5 if p.dtype == np.float32 else 1e-12
            fine = p.shape == q.shape and np.allclose(p, q, tolerance, tolerance, equal_nan=True)
        else:
            fine = same_bits(p, q)
        if not fine:
            return False
    return True


@pytest.mark.parametrize("key", FUNCTIONS)
def test_all_ways_agree(key):
    """Twice with the same, then with other arguments, then with the first again: what was remembered is not mixed up."""
    function = FUNCTIONS[key]
    compiled = rv.compile(lambda *args: function(*args))
    first_of_all = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args in calls(key, function):
            shown = f"{key}({', '.join(str(each(a, lambda x: f'{x.dtype}{x.shape}')) for a in args)})"
            tensors = each(args, rv.tensor)
            first = outcome(function, tensors)
            first_of_all = first_of_all or (tensors, first)
            if isinstance(first, list) and function.__name__ not in VIEWS:
                results = [r.detach().numpy() for r in first if isinstance(r, rv.Tensor)]
                inputs = [t.numpy() for t in flat(tensors) if isinstance(t, rv.Tensor)]
                assert not any(np.shares_memory(r, a) for r in results for a in inputs), f"{shown} is no copy"
            arrays = outcome(function, args)
            assert same(first, arrays), f"{shown} of arrays: {arrays}, of tensors: {first}"
            if any(isinstance(a, np.ndarray) for a in flat(args)):
                assert isinstance(arrays, Exception) or not any(isinstance(a, rv.Tensor) for a in arrays), shown
            assert same(first, outcome(function, tensors)), f"{shown}: the second call differs from the first"
            with rv.backend("numpy"):
                reference = outcome(function, tensors)
            assert same(first, reference, near=True), f"{shown}: {first}, the reference says {reference}"
            for _ in range(2):
                traced = outcome(compiled, tensors)
                if isinstance(traced, rv.TraceError) and key.split(".")[-1] in OF_VALUES:
                    break
                assert same(first, traced), f"{shown}, compiled: {traced}, eager: {first}"
        tensors, first = first_of_all
        assert same(first, outcome(function, tensors)), f"{key}: the first call again differs"


def test_what_is_refused_in_compiled_functions_is_no_longer_than_needed():
    assert set(OF_VALUES) <= {key.split(".")[-1] for key in FUNCTIONS}
