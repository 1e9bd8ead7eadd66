"""Metrics, as functions of predictions and targets, and as objects that gather over batches.

What predictions are goes by their shape: (N, C) are scores of classes; (N,) or (N, 1) are class numbers where all are
whole, else scores of two classes, which are cut at `threshold` (0.5 for probabilities, 0 for logits; where it is given,
whole numbers are scores too). Targets are class numbers (N,), or one-hot (N, C); with `multilabel`, (N, C) holds decisions
of their own. Arrays and Tensors both do.

    >>> import numpy as np
    >>> from ranvier.train import metrics
    >>> metrics.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    >>> seen = metrics.F1(average="macro")
    >>> for scores, labels in [([0, 1, 2], [0, 1, 1]), ([2, 2, 0], [2, 2, 0])]:
    ...     seen.update(np.array(scores), np.array(labels))
    >>> round(seen.compute(), 4)
    0.8222
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.namespace import listing as _listing
from ..tensor import Tensor

__all__ = [
    "Metric", "Accuracy", "TopKAccuracy", "Precision", "Recall", "F1", "ConfusionMatrix", "AUC", "LogLoss", "MAE", "MSE",
    "R2", "accuracy", "top_k_accuracy", "precision", "recall", "f1", "confusion_matrix", "auc", "log_loss", "mae", "mse",
    "r2", "get",
]  # fmt: skip


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().numpy() if isinstance(x, Tensor) else x)


def _weights(sample_weight: Any, rows: int, name: str) -> np.ndarray:
    if sample_weight is None:
        return np.ones(rows)
    w = _array(sample_weight).astype(np.float64)
    if w.shape != (rows,):
        raise ValueError(f"{name}: sample_weight{w.shape} must have one number for each of the {rows} rows")
    return w


def _is_whole(x: np.ndarray) -> bool:
    return x.dtype.kind != "f" or np.array_equal(x, np.rint(x))


def _is_one_hot(target: np.ndarray) -> bool:
    """Whether rows are one-hot, or probabilities."""
    return bool((target >= 0).all() and np.allclose(target.sum(1), 1, atol=1e-3))


def _paired(name: str, pred: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets as arrays; (N, 1) beside (N,) becomes (N,)."""
    pred, target = _array(pred), _array(target)
    if pred.ndim == target.ndim + 1:
        if pred.shape[-1] == 1:
            pred = pred[..., 0]
        elif pred.shape[:1] + pred.shape[2:] != target.shape:
            raise ValueError(f"{name}: scores{pred.shape} do not fit targets{target.shape}")
        else:
            return pred, target
    elif target.ndim == pred.ndim + 1 and target.shape[-1] == 1:
        target = target[..., 0]
    if pred.shape != target.shape:
        raise ValueError(f"{name}: predictions{pred.shape} do not fit targets{target.shape}")
    return pred, target


def _classes(
    name: str, pred: Any, target: Any, threshold: float | None, multilabel: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class numbers, both flat."""
    pred, target = _paired(name, pred, target)
    if multilabel:
        if pred.shape != target.shape:
            raise ValueError(
                f"{name}: with multilabel, scores{pred.shape} must have the shape of targets{target.shape}"
            )
        pred, target = pred > (0.5 if threshold is None else threshold), target > 0.5
    elif pred.ndim > target.ndim:
        pred = pred.argmax(1)
    elif pred.ndim > 1 and pred.shape[1] > 1 and _is_one_hot(target):
        pred, target = pred.argmax(1), target.argmax(1)
    elif pred.ndim > 1 and pred.shape[1] > 1 and not _is_whole(pred):
        raise ValueError(
            f"{name}: targets{target.shape}, shaped as the scores, must be one-hot; for several labels a row pass "
            "multilabel=True"
        )
    elif pred.dtype.kind == "f" and (threshold is not None or not _is_whole(pred)):
        pred = pred > (0.5 if threshold is None else threshold)
    if not _is_whole(target):
        raise ValueError(f"{name}: targets must be class numbers; these have fractions")
    return pred.astype(np.int64).ravel(), target.astype(np.int64).ravel()


def _table(x: np.ndarray) -> np.ndarray:
    """(N, columns), also where N is 0."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _numbers(name: str, pred: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets (N, columns) in float64."""
    pred, target = _array(pred).astype(np.float64), _array(target).astype(np.float64)
    if pred.shape != target.shape and pred.size == target.size and pred.shape[:1] == target.shape[:1]:
        if 1 in (pred.shape[-1], target.shape[-1]):  # (N, 1) against (N,)
            pred, target = _table(pred), _table(target)
    if pred.shape != target.shape:
        raise ValueError(f"{name}: predictions{pred.shape} must have the shape of targets{target.shape}")
    return _table(pred), _table(target)


class Metric:
    """Base of metrics: `update(pred, target)` for each batch, then `compute()`; calling it does both for one
    batch.

    Attributes:
        name: the key in a history. larger_is_better: which way a callback should look.
    """

    name = "metric"
    larger_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        """Take a batch into account."""
        raise NotImplementedError

    def compute(self) -> Any:
        """The metric over all batches since `reset`; nan where there were none."""
        raise NotImplementedError

    def batch_mean(self, pred: Any, target: Any) -> Any:
        """The mean over a batch's rows as a scalar Tensor made with ops, where the metric is such a mean.

        None: it is not; the metric is then computed from predictions.
        """
        return None

    def __call__(self, pred: Any, target: Any, sample_weight: Any = None) -> Any:
        self.reset()
        self.update(pred, target, sample_weight)
        return self.compute()


class _Mean(Metric):
    """Metrics that are a weighted mean of one number a row."""

    def reset(self) -> None:
        self._sum = self._count = 0.0

    def _rows(self, pred: Any, target: Any) -> np.ndarray:
        raise NotImplementedError

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        values = self._rows(pred, target)
        w = _weights(sample_weight, len(values), self.name)
        self._sum += float(values @ w)
        self._count += float(w.sum())

    def compute(self) -> float:
        return self._sum / self._count if self._count else float("nan")


class Accuracy(_Mean):
    """Share of right classes; with `multilabel`, of right decisions."""

    name = "accuracy"

    def __init__(self, threshold: float | None = None, multilabel: bool | None = None):
        self.threshold, self.multilabel = threshold, multilabel
        super().__init__()

    def _rows(self, pred: Any, target: Any) -> np.ndarray:
        classes, truth = _classes(self.name, pred, target, self.threshold, self.multilabel)
        rows = len(_array(target))
        return (classes == truth).reshape(rows, -1).mean(1) if rows else np.zeros(0)

    def batch_mean(self, pred: Any, target: Any) -> Any:
        if self.multilabel:
            cut = 0.5 if self.threshold is None else self.threshold
            same = pred.shape == target.shape
            return ((pred > cut) == (target > 0.5)).to(pred.dtype).mean() if same else None
        if pred.ndim == 2 and target.ndim == 1 and pred.shape[1] > 1:
            return (pred.argmax(1) == target).to(pred.dtype).mean()
        return None


class TopKAccuracy(_Mean):
    """Share of rows whose true class is among the k highest scores (ties count as a hit for the lower class
    number).
    """

    name = "top_k_accuracy"

    def __init__(self, k: int = 5):
        self.k = k
        super().__init__()

    def _rows(self, pred: Any, target: Any) -> np.ndarray:
        pred, target = _array(pred), _array(target).astype(np.int64)
        if pred.ndim != 2 or target.shape != pred.shape[:1]:
            raise ValueError(f"{self.name}: scores{pred.shape} and targets{target.shape} must be (N, C) and (N,)")
        best = np.argsort(-pred, axis=1, kind="stable")[:, : self.k]
        return (best == target[:, None]).any(1).astype(np.float64)


class MAE(_Mean):
    """Mean of |prediction - target|."""

    name, larger_is_better = "mae", False

    def _rows(self, pred: Any, target: Any) -> np.ndarray:
        pred, target = _numbers(self.name, pred, target)
        return np.abs(pred - target).mean(1) if len(pred) else np.zeros(0)

    def batch_mean(self, pred: Any, target: Any) -> Any:
        return (pred - target).abs().mean() if pred.shape == target.shape else None


class MSE(_Mean):
    """Mean of (prediction - target)^2."""

    name, larger_is_better = "mse", False

    def _rows(self, pred: Any, target: Any) -> np.ndarray:
        pred, target = _numbers(self.name, pred, target)
        return ((pred - target) ** 2).mean(1) if len(pred) else np.zeros(0)

    def batch_mean(self, pred: Any, target: Any) -> Any:
        if pred.shape != target.shape:
            return None
        gap = pred - target
        return (gap * gap).mean()


class R2(Metric):
    """Coefficient of determination, 1 - sum (t - p)^2 / sum (t - mean t)^2; the mean over columns.

    A constant column gives 1 where it is met exactly, else 0, as in scikit-learn.
    """

    name = "r2"

    def reset(self) -> None:
        self._weight, self._mean, self._spread, self._residual = 0.0, 0.0, 0.0, 0.0
        self._rows = 0

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        pred, target = _numbers(self.name, pred, target)
        w = _weights(sample_weight, len(pred), self.name)[:, None]
        self._rows += len(pred)
        weight = float(w.sum())
        if weight == 0:
            return
        # means and spreads of two sets are joined by Chan's formula, which does not cancel
        mean = (w * target).sum(0) / weight
        total = self._weight + weight
        gap = mean - self._mean
        self._spread = self._spread + (w * (target - mean) ** 2).sum(0) + gap**2 * (self._weight * weight / total)
        self._mean = self._mean + gap * (weight / total)
        self._weight = total
        self._residual = self._residual + (w * (target - pred) ** 2).sum(0)

    def compute(self) -> float:
        if self._rows < 2:
            return float("nan")
        residual, spread = np.asarray(self._residual), np.asarray(self._spread)
        safe = np.where(spread == 0, 1.0, spread)
        return float(np.where(spread == 0, (residual == 0) * 1.0, 1 - residual / safe).mean())


class ConfusionMatrix(Metric):
    """Entry [i, j]: rows of class i that were predicted as class j.

    Args:
        num_classes: size of the matrix; None grows it to the highest class that is met.
    """

    name = "confusion_matrix"

    def __init__(self, num_classes: int | None = None, threshold: float | None = None, multilabel: bool | None = None):
        self.num_classes, self.threshold, self.multilabel = num_classes, threshold, multilabel
        super().__init__()

    def reset(self) -> None:
        self._matrix = np.zeros((self.num_classes or 0,) * 2)

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        scores = _array(pred)
        classes, truth = _classes(self.name, pred, target, self.threshold, self.multilabel)
        w = _weights(sample_weight, len(classes), self.name)
        needed = max(int(classes.max(initial=-1)), int(truth.max(initial=-1))) + 1
        if scores.ndim == 2 and scores.shape[1] > 1 and scores.size > len(classes):  # one column a class
            needed = max(needed, scores.shape[1])
        if min(classes.min(initial=0), truth.min(initial=0)) < 0:
            raise ValueError(f"{self.name}: class numbers must be >= 0")
        size = len(self._matrix)
        if needed > size:
            if self.num_classes is not None:
                raise ValueError(f"{self.name}: class {needed - 1} must be below num_classes={self.num_classes}")
            self._matrix = np.pad(self._matrix, (0, needed - size))
            size = needed
        self._matrix += np.bincount(truth * size + classes, w, size * size).reshape(size, size)

    def compute(self) -> Any:
        whole = np.rint(self._matrix)
        return whole.astype(np.int64) if np.array_equal(whole, self._matrix) else self._matrix.copy()


class _FromConfusion(ConfusionMatrix):
    """Metrics of true and false positives.

    Args:
        average: "binary" (class 1), "macro" (mean over classes), "weighted" (mean by number of rows),
            "micro" (over all decisions), or None for one value a class. Classes that appear neither among
            targets nor among predictions are left out, as in scikit-learn.
        zero_division: value where a denominator is 0; nan leaves such classes out of a mean.
    """

    def __init__(
        self,
        average: str | None = "binary",
        num_classes: int | None = None,
        threshold: float | None = None,
        zero_division: float = 0.0,
        multilabel: bool | None = None,
    ):
        if average not in ("binary", "macro", "micro", "weighted", None):
            raise ValueError(f"{self.name}: average={average!r} must be 'binary', 'macro', 'micro', 'weighted' or None")
        self.average, self.zero_division = average, zero_division
        super().__init__(num_classes, threshold, multilabel)

    def _ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        """Numerator and denominator."""
        raise NotImplementedError

    def compute(self) -> Any:
        m = self._matrix
        hits, predicted, actual = np.diag(m), m.sum(0), m.sum(1)
        if self.average == "micro":
            hits, predicted, actual = (np.array([v.sum()]) for v in (hits, predicted, actual))
        top, bottom = self._ratio(hits, predicted, actual)
        values = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), self.zero_division)
        if self.average is None:
            return values
        if self.average == "micro":
            return float(values[0])
        if self.average == "binary":
            if len(m) > 2:
                raise ValueError(
                    f"{self.name}: average='binary' needs two classes, but there are {len(m)}; "
                    "take 'macro', 'micro', 'weighted' or None"
                )
            return float(values[1]) if len(m) == 2 else float(self.zero_division)
        if not len(m):
            return float("nan")
        present = (predicted + actual) > 0
        share = actual if self.average == "weighted" else np.ones(len(m))
        left = present & ~np.isnan(values)  # the rest of the classes has no value
        if not left.any():
            return float(self.zero_division)
        return float(np.average(values[left], weights=share[left] if share[left].sum() else None))


class Precision(_FromConfusion):
    """True positives / predicted positives."""

    name = "precision"

    def _ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, predicted


class Recall(_FromConfusion):
    """True positives / actual positives."""

    name = "recall"

    def _ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, actual


class F1(_FromConfusion):
    """Harmonic mean of precision and recall: 2 TP / (predicted + actual positives)."""

    name = "f1"

    def _ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return 2 * hits, predicted + actual


class _OfScores(Metric):
    """Metrics of probabilities (N, C), or of class 1 (N,) or (N, 1); `from_logits`: of raw scores."""

    def __init__(self, from_logits: bool | None = None, multilabel: bool | None = None):
        self.from_logits, self.multilabel = from_logits, multilabel
        super().__init__()

    def _decisions(self, pred: Any, target: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each row and each class of several (or for class 1 alone): the logarithms of the probabilities of yes and
        of no, and whether it is so, all (N, columns).
        """
        pred, target = _paired(self.name, pred, target)
        pred = pred.astype(np.float64)
        separate = self.multilabel or pred.ndim == 1 or pred.ndim == 2 and pred.shape[1] == 1
        if pred.ndim > 2 or separate and pred.shape != target.shape:
            raise ValueError(
                f"{self.name}: scores{pred.shape} and targets{target.shape} must be (N, C) and (N,), or (N,)"
            )
        if separate:
            pred, target = _table(pred), _table(target)
        elif target.ndim == 1:
            if not _is_whole(target) or target.size and not (0 <= target.min() and target.max() < pred.shape[1]):
                raise ValueError(f"{self.name}: targets must be class numbers in [0, {pred.shape[1] - 1}]")
            target = target.astype(np.int64)[:, None] == np.arange(pred.shape[1])
        if not self.from_logits:
            if pred.size and not (0 <= pred.min() and pred.max() <= 1 and (separate or _is_one_hot(pred))):
                raise ValueError(f"{self.name}: predictions must be probabilities; of raw scores pass from_logits=True")
            with np.errstate(divide="ignore"):
                return np.log(pred), np.log1p(-pred), target
        if separate:
            return -np.logaddexp(0, -pred), -np.logaddexp(0, pred), target
        log = pred - np.logaddexp.reduce(pred, axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            return log, np.log1p(-np.exp(log)), target


class LogLoss(_OfScores):
    """Mean of -log(probability of the true class), with probabilities of at least 2^-52, as in scikit-learn."""

    name, larger_is_better = "log_loss", False

    def reset(self) -> None:
        self._sum = self._count = 0.0

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        yes, no, truth = self._decisions(pred, target)
        floor = -52 * math.log(2)
        truth = truth.astype(np.float64)
        values = -truth * np.maximum(yes, floor)
        if yes.shape[1] == 1 or self.multilabel:
            values = values - (1.0 - truth) * np.maximum(no, floor)
        rows = values.mean(1) if self.multilabel else values.sum(1)
        w = _weights(sample_weight, len(rows), self.name)
        self._sum += float(rows @ w)
        self._count += float(w.sum())

    def compute(self) -> float:
        return self._sum / self._count if self._count else float("nan")


class AUC(_OfScores):
    """Area under the ROC curve: the share of pairs of a positive and a negative row that the scores put in order.

    Of several classes the mean of each against the rest; nan where a class, or its rest, has no rows.
    """

    name = "auc"

    def reset(self) -> None:
        self._parts: list[tuple] = []

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        yes, no, truth = self._decisions(pred, target)
        w = _weights(sample_weight, len(yes), self.name)
        self._parts.append((yes, no, truth, w))

    def compute(self) -> float:
        if not self._parts:
            return float("nan")
        yes, no, truth, w = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        columns = [1] if yes.shape[1] == 2 and not self.multilabel else range(yes.shape[1])
        return float(np.mean([_area(yes[:, k], no[:, k], truth[:, k] > 0.5, w) for k in columns]))


def _area(yes: np.ndarray, no: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Area under the ROC curve of one class, from logarithms of its probability (finer near 0) and of the rest's (finer
    near 1).
    """
    order = np.lexsort((-no, yes))
    yes, no, truth, w = yes[order], no[order], truth[order], w[order]
    starts = np.flatnonzero(np.r_[len(yes) > 0, (yes[1:] != yes[:-1]) | (no[1:] != no[:-1])])  # of equal scores
    positive, negative = (np.add.reduceat(w * side, starts) if len(starts) else w for side in (truth, ~truth))
    pairs = positive.sum() * negative.sum()
    return float((positive * (np.cumsum(negative) - negative / 2)).sum() / pairs) if pairs else float("nan")


def accuracy(
    pred: Any,
    target: Any,
    *,
    threshold: float | None = None,
    multilabel: bool = False,
    sample_weight: Any = None,
) -> float:
    """Share of right classes; see `Accuracy`."""
    return Accuracy(threshold, multilabel)(pred, target, sample_weight)


def top_k_accuracy(pred: Any, target: Any, k: int = 5, *, sample_weight: Any = None) -> float:
    """Share of rows whose true class is among the k highest scores."""
    return TopKAccuracy(k)(pred, target, sample_weight)


def confusion_matrix(
    pred: Any,
    target: Any,
    num_classes: int | None = None,
    *,
    threshold: float | None = None,
    multilabel: bool = False,
    sample_weight: Any = None,
) -> np.ndarray:
    """Counts [true class, predicted class]."""
    return ConfusionMatrix(num_classes, threshold, multilabel)(pred, target, sample_weight)


def precision(pred: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """True positives / predicted positives; options as for `Precision`."""
    weight = options.pop("sample_weight", None)
    return Precision(average, **options)(pred, target, weight)


def recall(pred: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """True positives / actual positives; options as for `Recall`."""
    weight = options.pop("sample_weight", None)
    return Recall(average, **options)(pred, target, weight)


def f1(pred: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """Harmonic mean of precision and recall; options as for `F1`."""
    weight = options.pop("sample_weight", None)
    return F1(average, **options)(pred, target, weight)


def auc(pred: Any, target: Any, **options: Any) -> float:
    """Area under the ROC curve; options as for `AUC`.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    weight = options.pop("sample_weight", None)
    return AUC(**options)(pred, target, weight)


def log_loss(pred: Any, target: Any, **options: Any) -> float:
    """Mean of -log(probability of the true class); options as for `LogLoss`."""
    weight = options.pop("sample_weight", None)
    return LogLoss(**options)(pred, target, weight)


def mae(pred: Any, target: Any, *, sample_weight: Any = None) -> float:
    """Mean of |prediction - target|."""
    return MAE()(pred, target, sample_weight)


def mse(pred: Any, target: Any, *, sample_weight: Any = None) -> float:
    """Mean of (prediction - target)^2."""
    return MSE()(pred, target, sample_weight)


def r2(pred: Any, target: Any, *, sample_weight: Any = None) -> float:
    """Coefficient of determination; see `R2`."""
    return R2()(pred, target, sample_weight)


_BY_NAME = {
    cls.name: cls
    for cls in (Accuracy, TopKAccuracy, Precision, Recall, F1, ConfusionMatrix, AUC, LogLoss, MAE, MSE, R2)
}
_SHORT = {"acc": "accuracy"}


def is_known(metric: Any) -> bool:
    """Whether it is one of this module's metrics, which takes any number of rows."""
    return type(metric) in _BY_NAME.values()


class _Function(Metric):
    """A metric from a user's function of all predictions and targets."""

    def __init__(self, function: Any):
        self.function, self.name = function, getattr(function, "__name__", "metric")
        super().__init__()

    def reset(self) -> None:
        self._parts: list[tuple] = []

    def update(self, pred: Any, target: Any, sample_weight: Any = None) -> None:
        self._parts.append((_array(pred), _array(target)))

    def compute(self) -> Any:
        if not self._parts:
            return float("nan")
        preds, targets = zip(*self._parts, strict=True)
        return self.function(np.concatenate(preds), np.concatenate(targets))


def get(metric: Any) -> Metric:
    """A Metric from one, from its class, from a name such as "accuracy", or from a function (pred,
    target).
    """
    if isinstance(metric, str):
        cls = _BY_NAME.get(_SHORT.get(metric, metric))
        if cls is None:
            raise ValueError(f"metrics: {metric!r} must be one of {', '.join(_BY_NAME)}")
        made = cls()
        made.name = metric
        return made
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric()
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        for cls in _BY_NAME.values():  # this module's own functions have an object that gathers over batches
            if metric is globals().get(cls.name):
                return cls()
        return _Function(metric)
    raise TypeError(f"metrics: {metric!r} must be a name, a Metric or a function of (predictions, targets)")


__dir__ = _listing(globals())
