"""Losses: values, gradients and dtypes against PyTorch, and what Ranvier refuses."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape)


def prob(*shape):
    return RNG.uniform(0.05, 0.95, shape)


def sign(*shape):
    return RNG.choice([-1.0, 1.0], shape)


X, Y = draw(6, 5), draw(6, 5)
LOGP = np.log(prob(6, 5))
LABELS = np.array([0, 4, 1, 2, 2, 3])
IGNORED = np.array([0, -100, 1, 2, -100, 3])
IMAGE, IMAGE_LABELS = draw(2, 4, 3, 5), RNG.integers(0, 4, (2, 3, 5))
CLASS_WEIGHT = prob(5)
SIMPLEX = prob(6, 5) / 3
SIMPLEX = SIMPLEX / SIMPLEX.sum(1, keepdims=True)

# name, arguments (floats of the first n_grad are differentiated), keyword arguments (arrays become tensors)
CASES = [
    ("l1_loss", (X, Y), {}),
    ("mse_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.3}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.0}),
    ("huber_loss", (X, Y), {}),
    ("huber_loss", (X, Y), {"delta": 0.4}),
    ("cross_entropy", (X, LABELS), {}),
    ("cross_entropy", (X, LABELS), {"weight": CLASS_WEIGHT}),
    ("cross_entropy", (X, IGNORED), {}),
    ("cross_entropy", (X, IGNORED), {"weight": CLASS_WEIGHT, "label_smoothing": 0.2}),
    ("cross_entropy", (X, np.where(IGNORED < 0, 3, IGNORED)), {"ignore_index": 3}),
    ("cross_entropy", (X, LABELS), {"label_smoothing": 0.1}),
    ("cross_entropy", (X, SIMPLEX), {}),
    ("cross_entropy", (X, SIMPLEX), {"weight": CLASS_WEIGHT, "label_smoothing": 0.1}),
    ("cross_entropy", (IMAGE, IMAGE_LABELS), {}),
    ("cross_entropy", (IMAGE, IMAGE_LABELS), {"label_smoothing": 0.3, "weight": prob(4)}),
    ("cross_entropy", (IMAGE, prob(2, 4, 3, 5)), {}),
    ("cross_entropy", (X[0], np.array(2)), {}),
    ("cross_entropy", (X[0], SIMPLEX[0]), {}),
    ("cross_entropy", (1e4 * X, LABELS), {}),
    ("nll_loss", (LOGP, LABELS), {}),
    ("nll_loss", (LOGP, IGNORED), {"weight": CLASS_WEIGHT}),
    ("nll_loss", (LOGP, LABELS), {"ignore_index": 2}),
    ("nll_loss", (IMAGE, IMAGE_LABELS), {}),
    ("nll_loss", (LOGP[0], np.array(2)), {}),
    ("binary_cross_entropy", (prob(6, 5), prob(6, 5)), {}),
    ("binary_cross_entropy", (prob(6, 5), prob(6, 5)), {"weight": prob(6, 5)}),
    ("binary_cross_entropy", (prob(6, 5), prob(6, 5)), {"weight": prob(5)}),
    ("binary_cross_entropy_with_logits", (X, prob(6, 5)), {}),
    ("binary_cross_entropy_with_logits", (50 * X, prob(6, 5)), {}),
    ("binary_cross_entropy_with_logits", (X, prob(6, 5)), {"weight": prob(6, 5), "pos_weight": 3 * prob(5)}),
    ("kl_div", (LOGP, prob(6, 5)), {}),
    ("kl_div", (LOGP, prob(6, 5)), {"reduction": "batchmean"}),
    ("kl_div", (LOGP, np.log(prob(6, 5))), {"log_target": True}),
    ("poisson_nll_loss", (X, 5 * prob(6, 5)), {}),
    ("poisson_nll_loss", (X, 5 * prob(6, 5)), {"full": True}),
    ("poisson_nll_loss", (prob(6, 5), 5 * prob(6, 5)), {"log_input": False}),
    ("gaussian_nll_loss", (X, Y, prob(6, 5)), {}),
    ("gaussian_nll_loss", (X, Y, prob(6, 1)), {"full": True}),
    ("gaussian_nll_loss", (X, Y, prob(6)), {"eps": 0.3}),
    ("cosine_embedding_loss", (X, Y, sign(6)), {}),
    ("cosine_embedding_loss", (X, Y, sign(6)), {"margin": 0.2}),
    ("margin_ranking_loss", (X, Y, sign(6, 5)), {"margin": 0.1}),
    ("triplet_margin_loss", (X, Y, draw(6, 5)), {}),
    ("triplet_margin_loss", (X, Y, draw(6, 5)), {"p": 1.0, "margin": 2.0}),
    ("triplet_margin_loss", (X, Y, draw(6, 5)), {"p": 3.0, "swap": True}),
    ("hinge_embedding_loss", (X, sign(6, 5)), {"margin": 0.7}),
    ("soft_margin_loss", (X, sign(6, 5)), {}),
    ("multilabel_soft_margin_loss", (X, prob(6, 5).round()), {}),
    ("multilabel_soft_margin_loss", (X, prob(6, 5).round()), {"weight": prob(5)}),
]  # fmt: skip
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]


def floats(arrays, dtype):
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def rv_args(args, kwargs, dtype):
    tensors = [rv.tensor(a) for a in floats(args, dtype)]
    for t in tensors:
        if t.is_floating_point():
            t.requires_grad_()
    options = {k: rv.tensor(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return tensors, options


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", None])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_against_torch(oracle, case, reduction):
    name, args, kwargs = case
    if reduction is not None:
        if "reduction" in kwargs:
            return
        kwargs = {**kwargs, "reduction": reduction}
    fixed = name == "soft_margin_loss"  # whose target PyTorch does not differentiate
    leaf = [a.dtype.kind == "f" and not (fixed and i) for i, a in enumerate(args)]

    def run(lib):
        """The loss, and the gradients that PyTorch has too."""
        tensors = [lib.tensor(a, requires_grad=r) for a, r in zip(args, leaf, strict=True)]
        options = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        out = getattr(lib.nn.functional, name)(*tensors, **options)
        out.backward(lib.tensor(np.asarray(np.random.default_rng(1).standard_normal(tuple(out.shape)))))
        grads = [t.grad for t in tensors if t.grad is not None]
        return [x.detach().numpy() for x in (out, *grads)]

    (ours, *grads), (theirs, *their_grads) = run(rv), oracle(run)
    assert ours.dtype == np.float64 and ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    for a, b in zip(grads, their_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_second_derivative(case):
    """d/de <grad(x + e v), u> against a central difference."""
    name, args, kwargs = case
    if name in ("l1_loss", "hinge_embedding_loss"):
        return  # piecewise linear
    _, options = rv_args((), kwargs, np.float64)
    rest = [rv.tensor(a) for a in args[1:]]
    v, u = draw(*args[0].shape), draw(*args[0].shape)

    def gradient(x):
        x = rv.tensor(x, requires_grad=True)
        (g,) = rv.autograd.grad(getattr(F, name)(x, *rest, **options), x, create_graph=True)
        return x, g

    x, g = gradient(args[0])
    h = 1e-5
    numeric = (
        (gradient(args[0] + h * v)[1].detach().numpy() - gradient(args[0] - h * v)[1].detach().numpy()) / (2 * h) * u
    ).sum()
    product = (g * rv.tensor(u)).sum()
    second = 0.0
    if product.requires_grad:
        (hessian,) = rv.autograd.grad(product, x, allow_unused=True)
        second = 0.0 if hessian is None else float((hessian.numpy() * v).sum())
    if name in ("cross_entropy",) and np.abs(args[0]).max() > 1e3:
        return  # saturated: the difference has no digits
    assert second == pytest.approx(numeric, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_arrays_and_dtypes(case, dtype):
    name, args, kwargs = case
    tensors, options = rv_args(args, kwargs, dtype)
    expected = getattr(F, name)(*tensors, **options)
    plain = {k: v.numpy() if isinstance(v, rv.Tensor) else v for k, v in options.items()}
    result = getattr(F, name)(*floats(args, dtype), **plain)
    assert isinstance(result, np.ndarray) and result.dtype == dtype and expected.dtype == dtype
    np.testing.assert_array_equal(result, expected.detach().numpy())


MODULES = [
    ("L1Loss", "l1_loss", (X, Y), {}),
    ("MSELoss", "mse_loss", (X, Y), {}),
    ("SmoothL1Loss", "smooth_l1_loss", (X, Y), {"beta": 0.3}),
    ("HuberLoss", "huber_loss", (X, Y), {"delta": 0.4}),
    ("CrossEntropyLoss", "cross_entropy", (X, IGNORED), {"weight": CLASS_WEIGHT, "label_smoothing": 0.1}),
    ("CrossEntropyLoss", "cross_entropy", (X, LABELS), {"ignore_index": 2}),
    ("NLLLoss", "nll_loss", (LOGP, LABELS), {"weight": CLASS_WEIGHT, "ignore_index": 2}),
    ("BCELoss", "binary_cross_entropy", (prob(6, 5), prob(6, 5)), {"weight": prob(5)}),
    ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", (X, prob(6, 5)), {"weight": prob(5), "pos_weight": prob(5)}),
    ("KLDivLoss", "kl_div", (LOGP, LOGP), {"log_target": True, "reduction": "batchmean"}),
    ("PoissonNLLLoss", "poisson_nll_loss", (prob(6, 5), Y), {"log_input": False, "full": True, "eps": 1e-3}),
    ("GaussianNLLLoss", "gaussian_nll_loss", (X, Y, prob(6, 5)), {"full": True, "eps": 0.5}),
    ("CosineEmbeddingLoss", "cosine_embedding_loss", (X, Y, sign(6)), {"margin": 0.2}),
    ("MarginRankingLoss", "margin_ranking_loss", (X, Y, sign(6, 5)), {"margin": 0.2}),
    ("TripletMarginLoss", "triplet_margin_loss", (X, Y, draw(6, 5)), {"margin": 2.0, "p": 3.0, "swap": True, "eps": 1e-3}),
    ("HingeEmbeddingLoss", "hinge_embedding_loss", (X, sign(6, 5)), {"margin": 0.5}),
    ("SoftMarginLoss", "soft_margin_loss", (X, sign(6, 5)), {}),
    ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", (X, prob(6, 5)), {"weight": prob(5)}),
    ("CosineSimilarity", "cosine_similarity", (X, Y), {"dim": 0, "eps": 0.9}),
    ("PairwiseDistance", "pairwise_distance", (X, Y), {"p": 1.0, "eps": 0.1, "keepdim": True}),
]  # fmt: skip


@pytest.mark.parametrize("case", MODULES, ids=[f"{m[0]}-{i}" for i, m in enumerate(MODULES)])
def test_modules_hold_the_arguments(case):
    cls, function, args, kwargs = case
    tensors = [rv.tensor(a) for a in args]
    options = {k: rv.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    module = getattr(nn, cls)(**options)
    expected = getattr(F, function)(*tensors, **options)
    np.testing.assert_array_equal(module(*tensors).numpy(), expected.numpy())


@pytest.mark.parametrize("case", MODULES, ids=[f"{m[0]}-{i}" for i, m in enumerate(MODULES)])
def test_modules_like_torch(torch, case):
    cls, _, args, kwargs = case
    module = getattr(nn, cls)(**{k: rv.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()})
    twin = getattr(torch.nn, cls)(**{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()})
    np.testing.assert_allclose(
        module(*map(rv.tensor, args)).numpy(), twin(*map(torch.tensor, args)).numpy(), rtol=1e-12
    )
    assert repr(module) == repr(twin)
    assert list(module.state_dict()) == list(twin.state_dict())


@pytest.mark.parametrize(
    "name, args, kwargs",
    [
        ("cosine_similarity", (X, Y), {}),
        ("cosine_similarity", (X, Y[:1]), {"dim": 0}),
        ("pairwise_distance", (X, Y), {}),
        ("pairwise_distance", (X, Y), {"p": 1.0, "keepdim": True}),
        ("pairwise_distance", (X, Y), {"p": math.inf}),
        ("normalize", (X,), {}),
        ("normalize", (X,), {"p": 1.0, "dim": 0}),
        ("normalize", (X,), {"p": 3.0}),
        ("normalize", (X,), {"eps": 2.2}),
    ],
)
def test_distances(oracle, name, args, kwargs):
    def run(lib):
        tensors = [lib.tensor(a, requires_grad=True) for a in args]
        out = getattr(lib.nn.functional, name)(*tensors, **kwargs)
        out.backward(lib.tensor(np.asarray(np.random.default_rng(1).standard_normal(tuple(out.shape)))))
        return [out.detach().numpy(), *(t.grad.numpy() for t in tensors)]

    (ours, *grads), (theirs, *their_grads) = run(rv), oracle(run)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    for a, b in zip(grads, their_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_zero_vectors_have_finite_gradients():
    x = rv.zeros(2, 3, requires_grad=True)
    (F.normalize(x).sum() + F.cosine_similarity(x, rv.ones(2, 3)).sum()).backward()
    assert np.isfinite(x.grad.numpy()).all()


# ---------------------------------------------------------------- where PyTorch is silent


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_column_against_vector_is_an_error(name):
    message = r"shapes \(32, 1\) and \(32,\) would broadcast to \(32, 32\); reshape one of them"
    with pytest.raises(rv.ShapeError, match=f"{name}: {message}"):
        getattr(F, name)(rv.zeros(32, 1), rv.zeros(32))
    with pytest.raises(rv.ShapeError, match="would broadcast"):
        getattr(F, name)(rv.zeros(32), rv.zeros(32, 1))
    with pytest.raises(rv.ShapeError, match="do not broadcast"):
        getattr(F, name)(rv.zeros(3, 4), rv.zeros(3, 5))
    with pytest.warns(UserWarning, match="is broadcast to"):
        getattr(F, name)(rv.zeros(3, 4), rv.zeros(1, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(F, name)(rv.zeros(3, 4), rv.zeros(()))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_bce_needs_equal_shapes(name):
    with pytest.raises(rv.ShapeError, match=rf"{name}: input\(4, 1\) and target\(4,\) must have the same shape"):
        getattr(F, name)(rv.full((4, 1), 0.5), rv.zeros(4))


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_bce_refuses_what_is_no_probability(bad):
    with pytest.raises(ValueError, match=r"input must be in \[0, 1\].*sigmoid"):
        F.binary_cross_entropy(rv.tensor([0.5, bad]), rv.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\]"):
        F.binary_cross_entropy(rv.tensor([0.5, 0.5]), rv.tensor([0.0, bad]))
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\]"):
        F.binary_cross_entropy_with_logits(rv.tensor([0.5, 0.5]), rv.tensor([0.0, bad]))


def test_bce_at_the_ends():
    p = rv.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(p, rv.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_array_equal(loss.detach().numpy(), [0, 0, 100, 100])
    loss.sum().backward()
    assert np.isfinite(p.grad.numpy()).all()


def test_softmax_into_cross_entropy_warns_once_a_line():
    x = rv.tensor(X, requires_grad=True)
    y = rv.tensor(LABELS)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            nn.CrossEntropyLoss()(x.softmax(1), y)
    assert len(seen) == 1 and "softmax" in str(seen[0].message) and seen[0].filename == __file__
    for call in (
        lambda: F.cross_entropy(F.softmax(x, 1), y),
        lambda: F.nll_loss(F.softmax(x, 1), y),
        lambda: F.binary_cross_entropy_with_logits(x.sigmoid(), rv.tensor(SIMPLEX)),
    ):
        with pytest.warns(UserWarning, match="softmax"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.cross_entropy(x, y)
        F.cross_entropy(F.log_softmax(x, 1), y)
        F.nll_loss(F.log_softmax(x, 1), y)
        F.cross_entropy(F.softmax(x, 1) * 10.0, y)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_bad_labels(name):
    loss = getattr(F, name)
    x = rv.tensor(X)
    with pytest.raises(rv.DTypeError, match="integer"):
        loss(x, rv.tensor([0.0, 1.0, math.nan, 2.0, 3.0, 4.0]))
    for bad in (-1, 5):
        labels = LABELS.copy()
        labels[2] = bad
        with pytest.raises((IndexError, ValueError), match=str(bad)):
            loss(x, rv.tensor(labels))
    with pytest.raises(rv.ShapeError):
        loss(x, rv.tensor(LABELS[:4]))
    with pytest.raises(rv.ShapeError):
        loss(x, rv.tensor(LABELS[:, None]))
    with pytest.raises(rv.ShapeError):
        loss(x, rv.tensor(LABELS), weight=rv.ones(4))


def test_one_hot_integers_are_refused():
    with pytest.raises(rv.DTypeError, match="float"):
        F.cross_entropy(rv.tensor(X), rv.tensor(np.eye(5, dtype=np.int64)[LABELS]))


def test_label_smoothing_range():
    with pytest.raises(ValueError, match="label_smoothing"):
        F.cross_entropy(rv.tensor(X), rv.tensor(LABELS), label_smoothing=1.5)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy"])
def test_empty_batch(name):
    empty = rv.zeros(0, 3)
    assert math.isnan(getattr(F, name)(empty, empty).item())
    assert getattr(F, name)(empty, empty, reduction="sum").item() == 0


def test_empty_cross_entropy():
    assert math.isnan(F.cross_entropy(rv.zeros(0, 3), rv.zeros(0, dtype="int64")).item())
    assert math.isnan(F.cross_entropy(rv.zeros(2, 3), rv.tensor([-100, -100])).item())


@pytest.mark.parametrize("name", ["mse_loss", "cross_entropy", "nll_loss", "kl_div", "binary_cross_entropy"])
def test_unknown_reduction(name):
    target = rv.tensor(LABELS) if name in ("cross_entropy", "nll_loss") else rv.tensor(SIMPLEX)
    with pytest.raises(ValueError, match="reduction='average' must be one of"):
        getattr(F, name)(rv.tensor(SIMPLEX), target, reduction="average")
    with pytest.raises(ValueError, match="reduction='average'"):
        nn.MSELoss(reduction="average")


OLDER = [n for n in dict.fromkeys(name for name, *_ in CASES) if n not in ("huber_loss", "gaussian_nll_loss")]


@pytest.mark.parametrize("name", OLDER)
def test_older_spellings_of_the_reduction(torch, name):
    args, kwargs = next((args, kwargs) for other, args, kwargs in CASES if other == name)
    tensors, options = rv_args(args, kwargs, np.float64)
    theirs = [torch.tensor(t.detach().numpy()) for t in tensors]
    for old in (
        {"size_average": False},
        {"size_average": True},
        {"reduce": False},
        {"size_average": False, "reduce": True},
    ):
        with pytest.warns(UserWarning, match="reduction="):
            ours = getattr(F, name)(*tensors, **options, **old)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(torch.nn.functional, name)(*theirs, **options, **old)
        np.testing.assert_allclose(ours.detach().numpy(), expected.numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", [n for n in nn.loss.__all__ if n.endswith("Loss") and n != "InfoNCELoss"])
def test_modules_take_arguments_where_pytorchs_do(torch, name):
    theirs = list(inspect.signature(getattr(torch.nn, name)).parameters)
    assert list(inspect.signature(getattr(nn, name)).parameters) == theirs
    if "size_average" not in theirs:
        return
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert getattr(nn, name)(size_average=False).reduction == "sum"


def test_a_reduction_in_the_place_of_size_average():
    with pytest.raises(TypeError, match="size_average='sum' must be True or False"):
        nn.MSELoss("sum")
    with pytest.raises(TypeError, match="size_average='sum'"):
        F.mse_loss(rv.zeros(2), rv.zeros(2), "sum")


def test_negative_variance():
    with pytest.raises(ValueError, match="var must not be negative"):
        F.gaussian_nll_loss(rv.zeros(2), rv.zeros(2), rv.tensor([1.0, -1.0]))
    assert F.gaussian_nll_loss(rv.zeros(2), rv.ones(2), 1.0).item() == 0.5


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_compiled(case):
    name, args, kwargs = case
    tensors, options = rv_args(args, kwargs, np.float64)
    x, *rest = (t.detach() for t in tensors)

    def gradient(x):
        x = x.detach().requires_grad_()
        loss = getattr(F, name)(x, *rest, **options)
        return loss, rv.autograd.grad(loss, x)[0]

    for ours, expected in zip(rv.compile(gradient)(x), gradient(x), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
