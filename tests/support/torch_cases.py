"""Calls that mean the same in Ranvier and PyTorch, and training runs. `lib` is either library."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """`call(lib, *tensors)` on inputs of these shapes, drawn from (low, high) without their neighbourhood of 0; a shape as
    ("int", high, shape) holds integers, ("bool", shape) bools.
    """

    name: str
    call: Callable
    shapes: tuple
    low: float = -2.0
    high: float = 2.0
    rounded: bool = False  # PyTorch rounds a constant of it to float32, whatever the dtype

    def inputs(self) -> list[np.ndarray]:
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        arrays = []
        for shape in self.shapes:
            if shape and shape[0] == "int":
                arrays.append(rng.integers(0, shape[1], shape[2]))
            elif shape and shape[0] == "bool":
                arrays.append(rng.integers(0, 2, shape[1]).astype(bool))
            else:
                a = np.asarray(rng.uniform(self.low, self.high, shape))
                arrays.append(np.where(np.abs(a) < 0.05, a + np.copysign(0.05, a), a) if self.low < 0 else a)
        return arrays


def _f(name: str) -> Callable:
    return lambda lib, *xs: getattr(lib, name)(*xs)


def _nnf(name: str, **options: Any) -> Callable:
    return lambda lib, *xs: getattr(lib.nn.functional, name)(*xs, **options)


def _o(name: str, *args: Any, **options: Any) -> Callable:
    return lambda lib, *xs: getattr(lib, name)(*xs, *args, **options)


_MATRIX = ((4, 5),)
CASES = [
    *(Case(n, _f(n), ((3, 4), (4,))) for n in ("add", "sub", "mul", "div", "maximum", "minimum", "remainder")),
    Case("pow", _f("pow"), ((3, 4), (3, 1)), 0.2, 2.0),
    *(Case(n, _f(n), ((7, 3),)) for n in
      ("abs", "neg", "sign", "square", "reciprocal", "exp", "exp2", "expm1", "sin", "cos", "tan", "erf", "floor", "ceil", "trunc",
       "round", "tanh", "sigmoid")),
    *(Case(n, _f(n), ((7, 3),), 0.1, 3.0) for n in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt")),
    *(Case(n, _nnf(n), ((7, 3),)) for n in
      ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "hardtanh",
       "hardswish", "hardshrink", "softshrink", "tanhshrink", "logsigmoid")),
    Case("gelu tanh", _nnf("gelu", approximate="tanh"), ((7, 3),)),
    Case("softplus beta", _nnf("softplus", beta=2.0, threshold=3.0), ((7, 3),)),
    Case("elu alpha", _nnf("elu", alpha=0.7), ((7, 3),)),
    Case("celu alpha", _nnf("celu", alpha=0.7), ((7, 3),), rounded=True),
    Case("hardsigmoid", _nnf("hardsigmoid"), ((7, 3),), rounded=True),
    Case("leaky_relu slope", _nnf("leaky_relu", negative_slope=0.2), ((7, 3),)),
    Case("prelu", _nnf("prelu"), ((4, 3, 2), (3,))),
    Case("glu", _nnf("glu", dim=1), ((3, 8),)),
    Case("threshold", _nnf("threshold", threshold=0.3, value=-1.0), ((7, 3),)),
    Case("softmin", _nnf("softmin", dim=1), _MATRIX),
    Case("normalize", _nnf("normalize", dim=1), _MATRIX),
    Case("clamp", _o("clamp", -0.5, 0.8), ((7, 3),)),
    Case("lerp", _f("lerp"), ((3, 4), (3, 4), (4,))),
    Case("where", _f("where"), (("bool", (3, 4)), (3, 4), (4,))),
    # composed and trigonometric functions
    *(Case(n, _f(n), ((7, 3),)) for n in
      ("atan", "sinh", "cosh", "asinh", "sinc", "deg2rad", "rad2deg", "frac", "isposinf", "signbit", "nan_to_num")),
    *(Case(n, _f(n), ((7, 3),), -0.9, 0.9) for n in ("asin", "acos", "atanh")),
    Case("acosh", _f("acosh"), ((7, 3),), 1.1, 3.0),
    Case("logit", _f("logit"), ((7, 3),), 0.1, 0.9),
    Case("logit eps", _o("logit", eps=0.3), ((7, 3),), 0.1, 0.9),
    *(Case(n, _f(n), ((3, 4), (4,))) for n in ("atan2", "hypot", "logaddexp", "logaddexp2", "fmax", "fmin", "fmod")),
    Case("logaddexp equal", lambda lib, x: lib.logaddexp(x, x), ((7, 3),)),
    Case("xlogy", _f("xlogy"), ((3, 4), (4,)), 0.1, 2.0),
    Case("addcmul addcdiv", lambda lib, x, a, b: lib.addcmul(x, a, b, value=0.5) + x.addcdiv(a, b, value=2.0), ((3, 4), (3, 1), (4,))),
    Case("copysign", lambda lib, x, y: lib.copysign(x, y.detach()), ((3, 4), (4,))),
    Case("heaviside", lambda lib, x, v: lib.heaviside(x.detach().round(), v.detach()), ((7, 3), (3,))),
    Case("clamp_min clamp_max", lambda lib, x: lib.clamp_min(x, -0.5) * lib.clamp_max(x, 0.5), ((7, 3),)),
    # reductions
    *(Case(n, _o(n, dim=1), ((3, 5),)) for n in ("cumprod", "nansum", "nanmean")),
    Case("cumprod zeros", lambda lib, x: lib.cumprod(lib.where(x.abs() < 1, x * 0, x), 0), ((6, 8),)),
    Case("std_mean", lambda lib, x: lib.std_mean(x, dim=1, keepdim=True), ((3, 4, 5),)),
    Case("aminmax", lambda lib, x: lib.aminmax(x, dim=1), ((3, 5),)),
    Case("median", _f("median"), ((4, 6),)),
    Case("median dim", lambda lib, x: lib.median(x, dim=1, keepdim=True), ((3, 6, 2),)),
    Case("quantile", lambda lib, x: lib.quantile(x, 0.3, dim=1), ((3, 6),)),
    *(Case(f"quantiles {how}", lambda lib, x, how=how: lib.quantile(
        x, lib.tensor([0.0, 0.4, 1.0], dtype=x.dtype), dim=0, keepdim=True, interpolation=how), ((6, 3),))
      for how in ("linear", "lower", "higher", "midpoint", "nearest")),
    # matrices and arrangements
    Case("diag embed", lambda lib, x: lib.diag(x, -1) * 2, ((4,),)),
    Case("diag of", lambda lib, x: lib.diag(x, 1) * 2, ((4, 3),)),
    Case("diag_embed", lambda lib, x: lib.diag_embed(x, 1, 0, 2) * 2, ((2, 3),)),
    Case("trace", _f("trace"), ((4, 3),)),
    Case("block_diag", lambda lib, a, b, c: lib.block_diag(a, b, c), ((2, 3), (2,), (3, 1))),
    Case("kron", _f("kron"), ((2, 3), (2, 1, 2))),
    Case("cross", lambda lib, a, b: lib.cross(a, b, dim=1), ((4, 3), (4, 3))),
    Case("addr", lambda lib, m, a, b: lib.addr(m, a, b, beta=0.5, alpha=2.0), ((3, 4), (3,), (4,))),
    Case("matrix_power", _o("matrix_power", 5), ((2, 3, 3),)),
    *(Case(f"cdist {p}", _o("cdist", p=p), ((2, 4, 3), (2, 5, 3))) for p in (1.0, 2.0, float("inf"))),
    Case("dist", _f("dist"), ((3, 4), (4,))),
    Case("cov", _f("cov"), ((3, 8),)),
    Case("corrcoef", _f("corrcoef"), ((3, 8),)),
    Case("unfold", lambda lib, x: x.unfold(1, 3, 2) * 2, ((2, 8, 3),)),
    Case("diff", lambda lib, x: lib.diff(x, n=2, dim=0), ((6, 3),)),
    Case("broadcast_tensors", lambda lib, a, b: lib.broadcast_tensors(a, b)[0] * 2, ((3, 1), (4,))),
    Case("stacks", lambda lib, a, b: lib.column_stack([a, b]).sum() * lib.dstack([a, a]).sum() * lib.row_stack([a, a]), ((3,), (3, 2))),
    Case("splits", lambda lib, x: lib.tensor_split(x, (1, 3), dim=1)[1] * lib.hsplit(x, 2)[0], ((3, 4),)),
    Case("take", lambda lib, x, i: lib.take(x, i) * 2, ((3, 4), ("int", 12, (2, 3)))),
    Case("flips", lambda lib, x: lib.fliplr(x) + 2 * lib.flipud(x), ((3, 4),)),
    *(Case(f"{n}", _f(n), _MATRIX) for n in ("sum", "mean", "prod", "amax", "amin", "var", "std", "max", "min")),
    *(Case(f"{n} dim", lambda lib, x, n=n: getattr(lib, n)(x, dim=1), ((3, 4, 5),)) for n in
      ("sum", "mean", "amax", "amin", "var", "std", "logsumexp", "prod")),
    *(Case(f"{n} dims keepdim", lambda lib, x, n=n: getattr(lib, n)(x, dim=(0, -1), keepdim=True), ((3, 4, 5),)) for n in
      ("sum", "mean", "amax", "var", "std", "logsumexp")),
    Case("var correction", lambda lib, x: lib.var(x, dim=0, correction=0), _MATRIX),
    Case("var_mean", lambda lib, x: lib.var_mean(x, dim=0), _MATRIX),
    Case("max dim", lambda lib, x: lib.max(x, dim=1)[0], _MATRIX),
    Case("min dim keepdim", lambda lib, x: lib.min(x, dim=0, keepdim=True)[0], _MATRIX),
    Case("argmax", _o("argmax", dim=1), _MATRIX),
    Case("argmin", _o("argmin"), _MATRIX),
    *(Case(f"norm {p}", _o("norm", p=p, dim=1), _MATRIX) for p in (1, 2, 3, float("inf"))),
    Case("cumsum", _o("cumsum", dim=1), _MATRIX),
    Case("softmax", _nnf("softmax", dim=1), _MATRIX),
    Case("log_softmax", _nnf("log_softmax", dim=0), ((3, 4, 2),)),
    Case("count_nonzero", lambda lib, x: lib.count_nonzero(x > 0, dim=1), _MATRIX),
    # products
    Case("matmul", _f("matmul"), ((2, 3, 4), (4, 5))),
    Case("matmul batch", _f("matmul"), ((2, 1, 3, 4), (3, 4, 5))),
    Case("matmul vectors", _f("matmul"), ((4,), (4,))),
    Case("matmul matrix vector", _f("matmul"), ((3, 4), (4,))),
    Case("matmul vector matrix", _f("matmul"), ((4,), (2, 4, 3))),
    Case("linear", _nnf("linear"), ((2, 3, 4), (5, 4), (5,))),
    Case("bmm", _f("bmm"), ((2, 3, 4), (2, 4, 5))),
    Case("outer", _f("outer"), ((3,), (4,))),
    Case("addmm", lambda lib, a, b, c: lib.addmm(a, b, c, beta=0.5, alpha=2.0), ((3, 5), (3, 4), (4, 5))),
    Case("baddbmm", _f("baddbmm"), ((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    Case("einsum", lambda lib, a, b: lib.einsum("bij,bkj->bik", a, b), ((2, 3, 4), (2, 5, 4))),
    Case("tensordot", lambda lib, a, b: lib.tensordot(a, b, dims=2), ((2, 3, 4), (3, 4, 5))),
    # shapes
    Case("permute", lambda lib, x: x.permute(2, 0, 1) * 1.5, ((2, 3, 4),)),
    Case("transpose reshape", lambda lib, x: x.transpose(0, 2).reshape(6, 4), ((2, 3, 4),)),
    Case("slices", lambda lib, x: x[1:, ::2] * x[:-1, 1::2], ((4, 6),)),
    Case("None and ellipsis", lambda lib, x: x[None, ..., 1] + x[..., 2], ((3, 4),)),
    Case("index arrays", lambda lib, x, i: x[i] * 2, ((5, 3), ("int", 5, (2, 4)))),
    Case("index pairs", lambda lib, x, i, j: x[i, :, j], ((5, 2, 4), ("int", 5, (3,)), ("int", 4, (3,)))),
    Case("mask", lambda lib, x, m: x[m], ((4, 3), ("bool", (4, 3)))),
    Case("expand", lambda lib, x: x.expand(2, 3, 4) * 2, ((3, 1),)),
    Case("cat", lambda lib, a, b: lib.cat([a, b, a], dim=1), ((2, 3), (2, 1))),
    Case("stack", lambda lib, a, b: lib.stack([a, b], dim=1), ((2, 3), (2, 3))),
    Case("split", lambda lib, x: lib.split(x, 2, dim=1)[1] * 2, ((2, 5),)),
    Case("chunk unbind", lambda lib, x: lib.chunk(x, 2)[1].unbind(1)[2], ((5, 4),)),
    Case("flip roll", lambda lib, x: lib.roll(lib.flip(x, (0,)), 2, 1), ((3, 4),)),
    Case("tril triu", lambda lib, x: lib.tril(x, 1) + lib.triu(x, 2) * 2, ((4, 5),)),
    Case("diagonal", lambda lib, x: lib.diagonal(x, 1, 0, 2) * 3, ((3, 2, 4),)),
    Case("pad", _nnf("pad", pad=(1, 2, 0, 1), value=0.5), ((2, 3),)),
    Case("repeat", lambda lib, x: x.repeat(2, 1, 3), ((2, 3),)),
    Case("repeat_interleave", lambda lib, x: lib.repeat_interleave(x, 2, dim=1), ((2, 3),)),
    Case("gather", lambda lib, x, i: lib.gather(x, 1, i), ((3, 5), ("int", 5, (3, 4)))),
    Case("scatter_add", lambda lib, x, i, s: x.scatter_add(1, i, s), ((3, 5), ("int", 5, (3, 4)), (3, 4))),
    Case("index_select", lambda lib, x, i: lib.index_select(x, 1, i), ((3, 5), ("int", 5, (4,)))),
    Case("index_add", lambda lib, x, i, s: lib.index_add(x, 0, i, s), ((5, 3), ("int", 5, (4,)), (4, 3))),
    Case("masked_fill", lambda lib, x, m: x.masked_fill(m, -1.0), ((3, 4), ("bool", (3, 4)))),
    Case("sort", lambda lib, x: lib.sort(x, dim=1, descending=True)[0], _MATRIX),
    Case("topk", lambda lib, x: lib.topk(x, 3, dim=1)[0], _MATRIX),
    Case("searchsorted", lambda lib, x, v: lib.searchsorted(lib.sort(x, dim=1)[0].detach(), v.detach()), ((3, 5), (3, 4))),
    Case("bucketize", lambda lib, x, b: lib.bucketize(x.detach(), lib.sort(b)[0].detach(), right=True), ((4, 5), (6,))),
    Case("unique", lambda lib, x: lib.unique(x, return_inverse=True, return_counts=True), (("int", 4, (3, 5)),)),
    Case("bincount", lambda lib, x: lib.bincount(x, minlength=7), (("int", 5, (9,)),)),
    Case("isin", lambda lib, x, y: lib.isin(x, y), (("int", 9, (3, 5)), ("int", 9, (4,)))),
    # losses
    *(Case(f"{n} {r}", _nnf(n, reduction=r), ((5, 3), (5, 3))) for n in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
      for r in ("mean", "sum", "none")),
    *(Case(f"cross_entropy {r}", _nnf("cross_entropy", reduction=r), ((6, 4), ("int", 4, (6,)))) for r in ("mean", "sum", "none")),
    Case("cross_entropy smooth weighted", lambda lib, x, t, w: lib.nn.functional.cross_entropy(x, t, w.abs().detach(), label_smoothing=0.1),
         ((6, 4), ("int", 4, (6,)), (4,))),
    Case("cross_entropy ignored", lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, ignore_index=2),
         ((6, 4, 2), ("int", 4, (6, 2)))),
    Case("bce with logits", lambda lib, x, t: lib.nn.functional.binary_cross_entropy_with_logits(x, t.sigmoid()), ((5, 3), (5, 3))),
    Case("nll", lambda lib, x, t: lib.nn.functional.nll_loss(lib.nn.functional.log_softmax(x, dim=1), t), ((6, 4), ("int", 4, (6,)))),
    Case("kl_div", lambda lib, x, t: lib.nn.functional.kl_div(
        lib.nn.functional.log_softmax(x, dim=1), lib.nn.functional.softmax(t, dim=1), reduction="batchmean"), ((5, 3), (5, 3))),
]  # fmt: skip


def evaluate(case: Case, lib: Any, make: Callable, dtype: Any) -> list[np.ndarray]:
    """Outputs of the case, then the gradient of sum(out * weight) for each float input; as arrays."""
    rng = np.random.default_rng(5)
    inputs = case.inputs()
    tensors = [make(a.astype(dtype) if a.dtype == np.float64 else a) for a in inputs]
    leaves = [t for t, a in zip(tensors, inputs) if a.dtype == np.float64]
    for t in leaves:
        t.requires_grad_()
    outs = case.call(lib, *tensors)
    outs = tuple(outs) if isinstance(outs, (tuple, list)) else (outs,)
    total = None
    for o in outs:
        if o.requires_grad:
            w = make(np.asarray(rng.standard_normal(tuple(o.shape)), dtype))
            total = (o * w).sum() if total is None else total + (o * w).sum()
    results = [np.asarray(o.detach().numpy()) for o in outs]
    if total is not None:
        total.backward()
        results += [np.asarray(t.grad.numpy()) if t.grad is not None else np.zeros(t.shape) for t in leaves]
    return results


# ---------------------------------------------------------------- training runs


@dataclass(frozen=True)
class Net:
    """A multilayer perceptron: widths, the activation module and the loss."""

    name: str
    widths: tuple[int, ...]
    activation: str
    loss: str
    rows: int = 12


NETS = [
    Net("tanh", (3, 8, 2), "Tanh", "mse_loss"),
    Net("relu", (5, 16, 16, 3), "ReLU", "cross_entropy"),
    Net("gelu", (4, 12, 1), "GELU", "binary_cross_entropy_with_logits"),
    Net("silu", (6, 10, 10, 10, 4), "SiLU", "cross_entropy"),
    Net("softplus", (7, 9, 2), "Softplus", "huber_loss"),
]

OPTIMIZERS: dict[str, tuple[str, dict]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "Adam": ("Adam", {"lr": 0.01}),
    "Adam amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.02}),
    "AdamW": ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    "Adamax": ("Adamax", {"lr": 0.01}),
    "NAdam": ("NAdam", {"lr": 0.01, "weight_decay": 0.01, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.02}),
    "RMSprop": ("RMSprop", {"lr": 0.005, "centered": True, "momentum": 0.5}),
    "Adagrad": ("Adagrad", {"lr": 0.05, "lr_decay": 0.01}),
    "Adadelta": ("Adadelta", {"lr": 1.0}),
    "ASGD": ("ASGD", {"lr": 0.05, "t0": 5}),
    "Rprop": ("Rprop", {"lr": 0.005}),
}
STEPS = 20


@dataclass
class Run:
    """The losses, and for each parameter a projection of its gradient at each step and of its value at the end."""

    losses: list[float] = field(default_factory=list)
    gradients: list[list[float]] = field(default_factory=list)
    parameters: list[float] = field(default_factory=list)

    def array(self) -> np.ndarray:
        return np.concatenate([self.losses, np.ravel(self.gradients), self.parameters])


def train(net: Net, optimizer: str, lib: Any, make: Callable, dtype: Any, compiled: bool = False) -> Run:
    """STEPS steps of full-batch training from fixed weights; the learning rate halves after step 10."""
    rng = np.random.default_rng(zlib.crc32(net.name.encode()))
    layers: list[Any] = []
    for i, (m, n) in enumerate(zip(net.widths, net.widths[1:])):
        layers += [lib.nn.Linear(m, n), getattr(lib.nn, net.activation)()]
    model = lib.nn.Sequential(*layers[:-1]).to(make(np.zeros(0, dtype)).dtype)
    with lib.no_grad():
        for p in model.parameters():
            bound = 1.5 / np.sqrt(p.shape[-1])
            p.copy_(make(rng.uniform(-bound, bound, tuple(p.shape)).astype(dtype)))
    x = make(rng.standard_normal((net.rows, net.widths[0])).astype(dtype))
    if net.loss == "cross_entropy":
        y = make(rng.integers(0, net.widths[-1], net.rows))
    elif net.loss.startswith("binary"):
        y = make(rng.integers(0, 2, (net.rows, net.widths[-1])).astype(dtype))
    else:
        y = make(rng.standard_normal((net.rows, net.widths[-1])).astype(dtype))
    loss_of = getattr(lib.nn.functional, net.loss)
    kind, options = OPTIMIZERS[optimizer]
    opt = getattr(lib.optim, kind)(model.parameters(), **options)
    schedule = lib.optim.lr_scheduler.StepLR(opt, step_size=10, gamma=0.5)

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    step = lib.compile(step) if compiled else step
    run = Run()
    projections = [rng.standard_normal(tuple(p.shape)) for p in model.parameters()]
    for _ in range(STEPS):
        run.losses.append(float(step(x, y).detach()))
        run.gradients.append([float((p.grad.numpy() * w).sum()) for p, w in zip(model.parameters(), projections)])
        schedule.step()
    run.parameters = [float((p.detach().numpy() * w).sum()) for p, w in zip(model.parameters(), projections)]
    return run
