"""Calls of every public function of arrays, made from signatures; a table says what signatures do not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def draw(shape: tuple, dtype: str, seed: int = 0) -> np.ndarray:
    """Small numbers of both signs, 0 among them; of bools both."""
    rng = np.random.default_rng([seed, *shape])
    if dtype.startswith("float"):
        return np.asarray(rng.uniform(-2, 2, shape)).astype(dtype)
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    return np.asarray(rng.integers(0 if dtype == "uint8" else -3, 4, shape)).astype(dtype)


def x(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return draw(shape, dtype, seed)


def i(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


P = x(3, 4) ** 2 / 4.1  # in [0, 1)
LABELS, ROWS = i(0, 2, 1), (x(3, 4), x(3, 4, seed=1))
PRODUCT = [
    (x(2, 3), x(3, 4)),
    (x(2, 3, dtype="float64"), x(3, 4, dtype="float64")),
    (i([1, 2]), i([3], [4])),
    (x(0, 3), x(3, 2)),
]

# What comes after a function's name: lists of positional arguments, each a call.
TABLE: dict[str, list[tuple]] = {
    "addbmm": [(x(2, 4), x(5, 2, 3), x(5, 3, 4))],
    "addmm": [(x(2, 4), *PRODUCT[0]), (x(4), *PRODUCT[0])],
    "addmv": [(x(2), x(2, 3), x(3)), (x(1), x(2, 3), x(3))],
    "addr": [(x(2, 3), x(2), x(3))],
    "baddbmm": [(x(5, 2, 4), x(5, 2, 3), x(5, 3, 4))],
    "bilinear": [(x(5, 2), x(5, 3), x(4, 2, 3), x(4))],
    "bincount": [(i(0, 2, 2),), (i(0, 2, 2), x(3)), (i(0, 2), i(1, 3), 5)],
    "binary_cross_entropy": [(P, P[::-1])],
    "binary_cross_entropy_with_logits": [(x(3, 4), P)],
    "bmm": [(x(5, 2, 3), x(5, 3, 4))],
    "broadcast_to": [(x(3), (2, 3)), (x(), (2,))],
    "bucketize": [(x(5), np.sort(x(4)))],
    "cdist": [(x(2, 3), x(4, 3)), (x(2, 3), x(4, 3), 1.0)],
    "cholesky": [(x(3, 3) @ x(3, 3).T + np.eye(3, dtype="f4"),)],
    "chunk": [(x(5, 2), 3), (x(2, 0), 2, 1), (x(), 2)],
    "clamp": [(x(5), -1.0, 1), (i(1, 5), 2), (i(1, 5), 1.5), (x(2, 3), None, x(3)), (x(5, dtype="uint8"), -1, 2)],
    "clip": [(x(5), -1.0, 1)],
    "column_stack": [((x(3), x(3, 2)),)],
    "cosine_embedding_loss": [(*ROWS, i(1, -1, 1))],
    "cross_entropy": [(x(3, 4), LABELS), (x(3, 4), P), (x(4), np.array(1)), (x(3, 4, 2), np.stack([LABELS, LABELS], 1))],
    "bitwise_left_shift": [(i(1, -3), 2), (i(1, -3), i(0, 5)), (x(3, dtype="uint8"), 7), (x(3, dtype="int32"), 31), (x(2), 1)],
    "bitwise_right_shift": [(i(1, -300), 2), (i(8, -3), i(0, 62)), (x(3, dtype="int32"), 31), (x(3, dtype="uint8"), 1)],
    "cartesian_prod": [(x(2), x(3)), (i(1, 2),), (x(), x(2))],
    "combinations": [(x(4),), (i(1, 2, 3), 3), (x(3), 2, True), (x(2, 2),)],
    "ctc_loss": [(-(x(5, 2, 4) ** 2), i([1, 2], [3, 0]), (5, 4), (2, 1)), (-(x(5, 4) ** 2), i(1, 2), (5,), (2,))],
    "fractional_max_pool2d": [(x(2, 3, 7, 8), 2, (3, 4), None, True, abs(x(2, 3, 2)) / 2)],
    "fractional_max_pool3d": [(x(3, 7, 8, 6), 2, (3, 4, 2), None, False, abs(x(1, 3, 3)) / 2)],
    "gru_cell": [(x(5, 2), x(5, 3), x(9, 2), x(9, 3), x(9), x(9)), (x(2), x(3), x(9, 2), x(9, 3)), (*ROWS, *ROWS)],
    "lstm_cell": [(x(5, 2), (x(5, 3), x(5, 3, seed=1)), x(12, 2), x(12, 3), x(12), x(12)), (x(5, 2), ROWS, *ROWS)],
    "cummax": [(x(3, 4), 1), (i(1, 3, 3, 2), 0), (x(), 0)],
    "cummin": [(x(3, 4), 1), (i(1, 3, 1, 1), 0), (x(), 0)],
    "cumprod": [(x(3, 4), 0), (i(1, 2), 0), (x(), 0), (x(3, dtype="bool"), 0)],
    "cumsum": [(x(3, 4), 0), (i(1, 2), 0), (x(), 0), (x(3, dtype="bool"), 0)],
    "diagonal": [(x(3, 4),), (x(2, 3, 4), 1, 1, 2)],
    "diagonal_scatter": [(x(3, 4), x(3)), (x(2, 3, 3), x(2, 2), 1, 1, 2)],
    "dot": [(x(3), x(3, seed=1)), (i(1, 2), i(3, 4))],
    "einsum": [("ij,jk->ik", *PRODUCT[0]), ("ii->i", x(3, 3)), ("i,i", x(3), x(3)), ("...j->...", x(2, 3))],
    "embedding": [(i([0, 2], [1, 1]), x(3, 4)), (i(1), x(3, 4), 1), (i(0, 5), x(3, 4))],
    "embedding_bag": [(i([0, 2], [1, 1]), x(3, 4)), (i(0, 2, 1), x(3, 4), i(0, 1)), (i(0, 2, 1), x(3, 4), i(0, 5))],
    "eigh": [(x(3, 3) + x(3, 3).T,)],
    "eigvalsh": [(x(3, 3) + x(3, 3).T,)],
    "dsplit": [(x(2, 3, 4), 2), (x(2, 3), 2)],
    "expand": [(x(3, 1), 3, 4), (x(3), (2, -1)), (x(), 2)],
    "expand_as": [(x(3), x(2, 3))],
    "expand_dims": [(x(3), 0), (x(), 0), (x(2, 3), -1)],
    "flip": [(x(3, 4), 0, 1), (x(3), (0,)), (x(), 0), (x(0), 0)],
    "full_like": [(x(2, 3), 1.5), (i(1, 2), 3)],
    "gather": [(x(3, 4), 1, i([0, 3], [1, 1])), (x(3, dtype="bool"), 0, i(-1))],
    "gaussian_nll_loss": [(*ROWS, P + 0.1)],
    "ger": [(x(3), x(4))],
    "hsplit": [(x(3, 4), 2), (x(5), (1, 3))],
    "index_add": [(x(3, 2), 0, i(0, 0), x(2, 2)), (x(3, dtype="uint8"), 0, i(1), x(1, dtype="uint8"))],
    "index_copy": [(x(3, 2), 0, i(0, 2), x(2, 2)), (x(3, dtype="bool"), 0, i(1), x(1, dtype="bool"))],
    "index_fill": [(x(3, 2), 1, i(0), 7.0), (i(1, 2), 0, i(1), 3)],
    "index_put": [
        (x(3, 2), (i(0, 2), i(1, 1)), x(2)), (x(3, 2), (i(0, 0),), x(2, 2), True), (x(3, 2), (i(1),), 5.0),
        (x(3, 2), (x(3, 2, dtype="bool"),), x()), (x(3, 2), i(0), x(2)),
    ],
    "index_select": [(x(3, 4), 1, i(0, -1, 0)), (x(0, 2), 1, i(1))],
    "inner": [(x(2, 3), x(4, 3)), (x(), x(3)), (i(1, 2), i(3, 4))],
    "inv": [(x(3, 3),)], "inverse": [(x(3, 3),)],
    "kron": [(x(2, 3), x(3)), (i([1, 2]), i([1], [0]))],
    "kthvalue": [(x(3, 4), 2), (x(3), 3, 0, True), (x(), 1)],
    "lerp": [(x(3), x(3, seed=1), 0.5), (x(2, 3), x(3), x(3, seed=2))],
    "linear": [(x(2, 3), x(4, 3)), (x(3), x(4, 3), x(4))],
    "log_softmax": [(x(2, 3), 1), (x(2, 3, dtype="float64"), 0), (x(), 0)],
    "lstsq": [(x(4, 2), x(4)), (x(4, 2), x(4, 3))],
    "margin_ranking_loss": [(*ROWS, np.sign(x(3, 4)))],
    "masked_fill": [(x(2, 3), x(3, dtype="bool"), 7.0), (i(1, 2), x(2, dtype="bool"), 3.7), (x(2, 3), x(2, 1, dtype="bool"), x())],
    "masked_scatter": [(x(2, 3), x(2, 3, dtype="bool"), x(7)), (x(2, 3), x(3, dtype="bool"), x(2, 4)), (x(2), x(2), x(2))],
    "masked_select": [(x(2, 3), x(2, 3, dtype="bool")), (x(2, 3), x(3, dtype="bool")), (x(), x(dtype="bool"))],
    "matmul": [*PRODUCT, (x(3), x(3)), (x(2, 3), x(3)), (x(5, 2, 3), x(3, 4)), (x(3), x(5, 3, 4))],
    "matrix_norm": [(x(3, 4),), (x(3, 4), 1), (x(2, 3, 4), 2), (x(3, 4), "nuc")],
    "matrix_power": [(x(3, 3), 1), (x(3, 3), 3), (x(3, 3), 0), (x(3, 3), -1)],
    "mm": PRODUCT,
    "mode": [(i([3, 1, 1], [2, 2, 0]),), (i([3, 1], [3, 2]), 0, True), (x(3),), (x(),)],
    "multi_dot": [([x(2, 3), x(3, 4), x(4, 1)],), ([x(3), x(3, 2)],), ([x(3)],)],
    "movedim": [(x(2, 3, 4), 0, -1), (x(2, 3, 4), (0, 1), (1, 0))],
    "moveaxis": [(x(2, 3, 4), 0, -1)],
    "multi_head_attention_forward": [
        (x(3, 2, 4), x(5, 2, 4), x(5, 2, 4), 4, 2, x(12, 4), x(12), None, None, False, 0.0, x(4, 4), x(4)),
    ],
    "multilabel_soft_margin_loss": [(x(3, 4), np.round(P))],
    "mv": [(x(2, 3), x(3)), (i([1, 2]), i(3, 4))],
    "narrow": [(x(3, 4), 1, 1, 2), (x(3), 0, 0, 0), (x(), 0, 0, 1)],
    "nll_loss": [(x(3, 4), LABELS)],
    "norm": [(x(3, 4),), (x(3, 4), 1, 1), (x(3, 4), float("inf"), 0, True), (x(),)],
    "one_hot": [(LABELS,), (LABELS, 4), (i([1, 0]), 2)],
    "outer": [(x(3), x(4)), (i(1, 2), i(3))],
    "pad": [(x(2, 3), (0, 0)), (x(2, 3), (0, -1)), (x(2, 3), (1, 2)), (x(2, 3), (1, 0, 0, 1), "constant", 7.0), (x(2, 3), (1, 1), "reflect"), (i(1, 2), (1, -1))],
    "permute": [(x(2, 3, 4), 2, 0, 1), (x(2, 3), (1, 0)), (x(), ())],
    "poisson_nll_loss": [(x(3, 4), P)],
    "prelu": [(x(2, 3), x(1)), (x(2, 3), x(3))],
    "quantile": [(x(3, 4), 0.3), (x(3, 4), [0.25, 0.5], 1), (x(), 0.5), (x(3, 4), 0.3, 1, True)],
    "repeat": [(x(2, 3), 1, 1), (x(2, 3), 2, 1), (x(), 3), (x(2), (2, 2))],
    "repeat_interleave": [(x(2, 3), 1), (x(2, 3), 2), (x(2, 3), 2, 1), (x(2), i(1, 3)), (x(), 2)],
    "reshape": [(x(2, 3), 3, -1), (x(2, 3), (6,)), (x(), (1, 1)), (x(0, 3), (3, 0))],
    "view": [(x(2, 3), 3, -1), (x(2, 3), (6,))],
    "roll": [(x(2, 3), 0), (x(2, 3), 3, 1), (x(2, 3), 1), (x(2, 3), 1, 1), (x(2, 3), (1, 2), (0, 1)), (x(), 1)],
    "scaled_dot_product_attention": [
        (x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 2)), (x(4, 5), x(6, 5), x(6, 2), x(4, 6)), (x(4, 5), x(6, 4), x(6, 2)),
        (x(2, 4, 3), x(2, 4, 3), x(2, 4, 3), x(4, 4, dtype="bool")),
    ],
    "scatter": [(x(3, 4), 1, i([0], [1], [2]), x(3, 1)), (x(3, dtype="bool"), 0, i(1), x(1, dtype="bool")), (i(1, 2), 0, i(1), 5)],
    "scatter_add": [(x(3, 4), 1, i([0], [1], [0]), x(3, 1)), (i(1, 2), 0, i(1), i(5))],
    "scatter_reduce": [
        (x(3, 4), 1, i([0, 0], [1, 2], [0, 3]), x(3, 2), reduce) for reduce in ("sum", "mean", "amax", "amin", "prod", "max")
    ],
    "searchsorted": [(np.sort(x(5)), x(3)), (i(1, 3, 5), i(3, 4))],
    "select_scatter": [(x(3, 4), x(3), 1, -1), (x(3), x(), 0, 1), (x(3), x(2), 0, 1)],
    "slice_scatter": [(x(3, 4), x(3, 2), 1, 0, 4, 2), (x(3), x(3)), (x(3), x(2), 0, 1)],
    "select": [(x(3, 4), 1, -1), (x(3), 0, 0), (x(), 0, 0)],
    "slogdet": [(x(3, 3),)], "det": [(x(3, 3),)], "logdet": [(x(3, 3) @ x(3, 3).T,)], "cond": [(x(3, 3),)],
    "softmax": [(x(2, 3), 1), (x(2, 3, dtype="float64"), 0), (x(), 0)],
    "softmin": [(x(2, 3), 1)],
    "solve": [(x(3, 3), x(3)), (x(2, 3, 3), x(3, 2))],
    "split": [(x(5, 2), 2), (x(5, 2), [1, 4]), (x(2, 0), 1, 1), (x(), 1)],
    "swapaxes": [(x(2, 3), 0, 1)], "swapdims": [(x(2, 3), 0, 1)], "transpose": [(x(2, 3), 0, -1), (x(), 0, 0)],
    "take": [(x(2, 3), i(0, -1)), (x(2, 3), i([5, 0]))],
    "take_along_axis": [(x(2, 3), i([0, 2], [1, 1]), 1)],
    "take_along_dim": [(x(2, 3), i([0, 2], [1, 1]), 1), (x(2, 3), i(0, 5)), (x(2, 3), i([0]), 1)],
    "tensor_split": [(x(7), 3), (x(7, 2), (2, 3)), (x(2, 0), 2, 1)],
    "tensordot": [(x(2, 3), x(3, 4), 1), (x(2, 3), x(2, 3)), (x(2, 3), x(3, 2), ([0], [1]))],
    "threshold": [(x(5), 0.5, 7.0), (x(5, dtype="uint8"), 1, 7)],
    "tile": [(x(2, 3), 1), (x(2, 3), 2), (x(), 2), (x(2), (2, 2))],
    "topk": [(x(3, 4), 2), (x(3), 1, 0, False), (x(), 1)],
    "triplet_margin_loss": [(*ROWS, x(3, 4, seed=2))],
    "trapezoid": [(x(3, 4),), (x(3, 4), x(4)), (x(3, 4), x(3), ), (i(1, 2, 4),), (x(),)],
    "unflatten": [(x(6), 0, (2, 3)), (x(2, 6), -1, (-1, 2))],
    "unfold": [(x(5), 0, 2, 1), (x(2, 5), 1, 3, 2), (x(), 0, 1, 1)],
    "unsqueeze": [(x(3), 0), (x(), -1)],
    "vdot": [(x(3), x(3))],
    "vsplit": [(x(4, 3), 2)],
    "where": [(x(2, 3, dtype="bool"), x(2, 3), 0.0), (x(3, dtype="bool"), i(1, 2, 3), x(3)), (x(2, dtype="bool"), 1, 2), (i(1, 0),)],
}  # fmt: skip
for _name in ("cat", "concat", "concatenate", "hstack", "vstack", "row_stack", "dstack", "stack"):
    TABLE[_name] = [((x(2, 3), x(2, 3, seed=1)),), ((x(2), x(2, dtype="int64")),)]
for _name in ("block_diag", "broadcast_tensors", "meshgrid"):
    TABLE[_name] = [(x(2), x(1)), (x(), x(3)), (i(1, 2), x(2))]

IMAGES = (x(2, 4, 9), x(2, 4, 6, 7), x(2, 4, 3, 4, 5))  # with one to three axes
for _ndim, _image in enumerate(IMAGES, 1):
    _kernel, _wide = x(6, 2, *(3, 2, 1)[:_ndim]), _image.astype("f8")
    TABLE[f"conv{_ndim}d"] = [(_image, x(3, 4, *(2,) * _ndim)), (_image, _kernel, x(6), 2, 1, 1, 2)]
    TABLE[f"conv_transpose{_ndim}d"] = [
        (_image, x(4, 3, *(2,) * _ndim)),
        (_image, x(4, 2, *(3,) * _ndim), x(4), 2, 1, 1, 2),
    ]
    TABLE[f"max_pool{_ndim}d"] = [(_image, 2), (_wide[0], 3, 2, 1, 1, True, True)]
    TABLE[f"avg_pool{_ndim}d"] = [(_image, 2), (_wide[0], 3, 2, 1, True, False)]
    TABLE[f"lp_pool{_ndim}d"] = [(np.abs(_image), 2.0, 2)]
    TABLE[f"adaptive_avg_pool{_ndim}d"] = TABLE[f"adaptive_max_pool{_ndim}d"] = [(_image, 2), (_wide[0], 1)]
    TABLE[f"max_unpool{_ndim}d"] = [
        (x(2, 3, *(1,) * _ndim), i(0).reshape((1,) * (_ndim + 2)) + np.zeros((2, 3, *(1,) * _ndim), int), 2)
    ]
TABLE |= {
    "affine_grid": [(x(2, 2, 3), (2, 3, 4, 5)), (x(2, 3, 4), (2, 3, 2, 3, 4), True)],
    "batch_norm": [(IMAGES[1], x(4), x(4) ** 2), (x(5, 4), None, None, x(4), x(4, seed=1), True)],
    "channel_shuffle": [(IMAGES[1], 2)],
    "fold": [(x(2, 8, 9), (4, 4), 2), (x(8, 4), (4, 4), 2, 1, 0, 2)],
    "functional.unfold": [(IMAGES[1], 2), (IMAGES[1][0], (2, 3), 1, 1, 2)],
    "grid_sample": [(IMAGES[1], x(2, 3, 4, 2)), (IMAGES[1], x(2, 3, 4, 2), "bicubic", "reflection", True)],
    "group_norm": [(IMAGES[1], 2), (x(3, 4), 2, x(4), x(4))],
    "instance_norm": [(IMAGES[1],)],
    "interpolate": [(IMAGES[1], (3, 8)), (IMAGES[0], None, 2, "linear"), (IMAGES[1], None, 0.7, "bicubic", True)],
    "upsample": [(IMAGES[1], (3, 8))],
    "layer_norm": [(x(3, 4), 4), (x(2, 3, 4), (3, 4), x(3, 4), x(3, 4))],
    "local_response_norm": [(IMAGES[1], 3)],
    "pixel_shuffle": [(IMAGES[1], 2)],
    "pixel_unshuffle": [(x(2, 3, 4, 6), 2)],
    "rms_norm": [(x(3, 4), 4), (x(2, 3, 4), (3, 4), x(3, 4), 1e-3)],
}

BESIDE = ("other", "exponent", "min", "max", "values")  # parameters that are often numbers

# Functions that are not of arrays, with the reason.
OTHERS = {
    "arange": "creation", "empty": "creation", "zeros": "creation", "ones": "creation", "eye": "creation",
    "full": "creation", "linspace": "creation", "logspace": "creation", "tril_indices": "creation", "triu_indices": "creation",
    "empty_like": "what it holds is not set", "broadcast_shapes": "of shapes", "numel": "a number of the shape",
    "get_float32_matmul_precision": "a setting", "set_float32_matmul_precision": "a setting",
    "full_like": "makes tensors", "ones_like": "makes tensors", "zeros_like": "makes tensors",
}  # fmt: skip


def public() -> dict[str, Callable]:
    """Every public function of arrays, by one of its names."""
    found: dict[str, Callable] = {}
    for space, names in ((rv.ops, rv.ops.PUBLIC), (F, F.__all__), (rv.linalg, rv.linalg.__all__)):
        for name in names:
            function = getattr(space, name)
            if inspect.isroutine(function) and name not in OTHERS and function not in found.values():
                found[f"{space.__name__.split('.')[-1]}.{name}" if name in found else name] = function
    return found


def calls(key: str, function: Callable) -> Iterator[tuple]:
    """Positional arguments, of one call after the other."""
    name = key.split(".")[-1]
    if key in TABLE or name in TABLE:
        yield from TABLE.get(key, TABLE.get(name, ()))
        return
    parameters = inspect.signature(function).parameters.values()
    required = [p for p in parameters if p.default is p.empty]
    assert required and all(p.annotation == "Array" for p in required), f"{key} needs a row in TABLE"
    count = len(required)
    for shape in ((2, 3), (), (0, 3), (3, 3), (7,)):
        yield tuple(draw(shape, "float32", k) for k in range(count))
    for dtype in DTYPES[1:]:
        yield tuple(draw((2, 3), dtype, k) for k in range(count))
    if count == 2:
        yield x(2, 3), x(3)
        yield x(2, 1), x(dtype="float64")
        for number in (2, -1.5, True, np.float64(0.5)) if required[1].name in BESIDE else ():
            for dtype in ("float32", "float64", "int64", "uint8"):
                yield x(3, dtype=dtype), number
                yield number, x(3, dtype=dtype)
        for a, b in zip(DTYPES, DTYPES[1:] + DTYPES[:1]):
            yield x(3, dtype=a), x(3, dtype=b, seed=1)
