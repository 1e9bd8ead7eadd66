"""Metrics against scikit-learn's, at once and in batches."""

import numpy as np
import pytest
import ranvier as rv
import sklearn.metrics as S
from ranvier.train import metrics as M

random = np.random.default_rng(0)
SCORES = random.normal(size=(97, 5)).astype(np.float32)
LABELS = random.integers(0, 5, 97)
BINARY = random.uniform(size=97)
TRUE = (random.uniform(size=97) < BINARY).astype(np.int64)
WEIGHTS = random.uniform(0.1, 3, 97)
VALUES, TARGETS = random.normal(size=(97, 3)), random.normal(size=(97, 3)) + 5


def in_batches(metric, pred, target, weight=None):
    metric.reset()
    for begin in range(0, len(target), 20):
        part = slice(begin, begin + 20)
        metric.update(pred[part], target[part], None if weight is None else weight[part])
    return metric.compute()


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("name, ours, theirs", [
    ("accuracy", M.Accuracy(), lambda p, t, w: S.accuracy_score(t, p.argmax(1), sample_weight=w)),
    ("top 2", M.TopKAccuracy(2), lambda p, t, w: S.top_k_accuracy_score(t, p, k=2, sample_weight=w)),
    *((f"{cls.name} {mean}", cls(mean), lambda p, t, w, f=function, a=mean:
       f(t, p.argmax(1), average=a, sample_weight=w, zero_division=0))
      for cls, function in ((M.Precision, S.precision_score), (M.Recall, S.recall_score), (M.F1, S.f1_score))
      for mean in ("macro", "micro", "weighted", None)),
    ("confusion", M.ConfusionMatrix(), lambda p, t, w: S.confusion_matrix(t, p.argmax(1), sample_weight=w)),
])  # fmt: skip
def test_classes(name, ours, theirs, weight):
    expected = theirs(SCORES, LABELS, weight)
    np.testing.assert_allclose(ours(SCORES, LABELS, weight), expected, rtol=1e-12)
    np.testing.assert_allclose(in_batches(ours, SCORES, LABELS, weight), expected, rtol=1e-12)
    np.testing.assert_allclose(ours(rv.from_numpy(SCORES), rv.from_numpy(LABELS), weight), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(97,), (97, 1)])
@pytest.mark.parametrize("average", ["binary", "macro", "micro"])
@pytest.mark.parametrize("ours, theirs", [
    (M.precision, S.precision_score), (M.recall, S.recall_score), (M.f1, S.f1_score),
])  # fmt: skip
def test_two_classes(ours, theirs, average, shape):
    pred = BINARY > 0.5
    assert ours(BINARY.reshape(shape), TRUE, average) == pytest.approx(theirs(TRUE, pred, average=average))
    logits = np.log(BINARY / (1 - BINARY)).reshape(shape)
    assert ours(logits, TRUE.reshape(shape), average, threshold=0) == pytest.approx(theirs(TRUE, pred, average=average))
    assert M.accuracy(BINARY.reshape(shape), TRUE) == pytest.approx(S.accuracy_score(TRUE, pred))


def test_missing_classes_and_empty_denominators():
    pred, target = np.array([3, 3, 0, 0]), np.array([3, 0, 0, 2])
    for average in ("macro", "micro", "weighted"):
        for ours, theirs in (
            (M.precision, S.precision_score),
            (M.recall, S.recall_score),
            (M.f1, S.f1_score),
        ):
            assert ours(pred, target, average) == pytest.approx(theirs(target, pred, average=average, zero_division=0))
    assert M.precision(np.zeros(3, int), np.zeros(3, int)) == 0.0
    assert M.precision(np.zeros(3, int), np.array([0, 1, 0]), zero_division=1.0) == 1.0
    assert M.confusion_matrix(pred, target, num_classes=6).shape == (6, 6)


def test_what_predictions_are_goes_by_their_shape():
    assert M.accuracy([[0.4, 0.3, 0.3]], [[0.0, 1.0, 0.0]]) == 0
    assert M.accuracy([[0.4, 0.5, 0.1]], [[0, 1, 0]]) == 1
    assert M.accuracy([0.0, 1.0, 2.0], [0, 1, 2]) == 1  # class numbers, in whatever dtype
    assert M.accuracy([[0.0], [1.0], [2.0]], [0.0, 1.0, 1.0]) == pytest.approx(2 / 3)
    assert M.accuracy([-3.0, 2.0], [0, 1], threshold=0) == 1
    np.testing.assert_array_equal(
        M.confusion_matrix([[0.4, 0.3, 0.3]], [[0.0, 1.0, 0.0]]), [[0, 0, 0], [1, 0, 0], [0] * 3]
    )
    np.testing.assert_array_equal(M.confusion_matrix([0.0, 2.0], [0, 1]), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    one_hot = np.eye(5)[LABELS]
    for average in ("macro", "micro", "weighted"):
        assert M.f1(SCORES, one_hot, average) == M.f1(SCORES, LABELS, average)
    assert M.accuracy(SCORES, one_hot) == M.accuracy(SCORES, one_hot.astype(int)) == M.accuracy(SCORES, LABELS)
    several = (VALUES > 0) * 1
    assert M.accuracy(VALUES, several, threshold=0, multilabel=True) == 1
    assert M.accuracy(several, several[::-1]) == pytest.approx(np.mean(several == several[::-1]))


def test_no_rows():
    for scores in (np.zeros((0, 3)), np.zeros(0), np.zeros((0, 1))):
        target = np.zeros(0, int)
        assert np.isnan(M.accuracy(scores, target)) and M.confusion_matrix(scores, target).sum() == 0
        assert np.isnan(M.log_loss(scores, target)) and np.isnan(M.auc(scores, target))
        assert np.isnan(M.f1(scores, target, "macro"))
    assert np.isnan(M.mae(np.zeros((0, 2)), np.zeros((0, 2)))) and np.isnan(M.mse(np.zeros(0), np.zeros(0)))
    assert np.isnan(M.top_k_accuracy(np.zeros((0, 7)), np.zeros(0, int)))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize(
    "ours, theirs", [(M.precision, S.precision_score), (M.recall, S.recall_score), (M.f1, S.f1_score)]
)
def test_nan_for_a_denominator_of_zero(ours, theirs, average):
    pred, target = np.array([3, 3, 0, 0, 1]), np.array([3, 0, 0, 2, 2])
    options = dict(average=average, zero_division=np.nan)
    np.testing.assert_allclose(ours(pred, target, **options), theirs(target, pred, **options))
    np.testing.assert_allclose(ours([1], [0], **options), theirs([0], [1], **options))


PROBABILITIES = np.exp(SCORES.astype("f8")) / np.exp(SCORES.astype("f8")).sum(1, keepdims=True)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("metric, pred, target, expected", [
    (M.AUC(), BINARY, TRUE, lambda w: S.roc_auc_score(TRUE, BINARY, sample_weight=w)),
    (M.AUC(), BINARY.round(1)[:, None], TRUE, lambda w: S.roc_auc_score(TRUE, BINARY.round(1), sample_weight=w)),
    (M.AUC(), np.c_[1 - BINARY, BINARY], TRUE, lambda w: S.roc_auc_score(TRUE, BINARY, sample_weight=w)),
    (M.AUC(from_logits=True), SCORES, LABELS,
     lambda w: np.mean([S.roc_auc_score(LABELS == k, PROBABILITIES[:, k], sample_weight=w) for k in range(5)])),
    (M.AUC(multilabel=True, from_logits=True), VALUES, (TARGETS > 5) * 1,
     lambda w: S.roc_auc_score((TARGETS > 5) * 1, VALUES, sample_weight=w)),
    (M.LogLoss(), BINARY, TRUE, lambda w: S.log_loss(TRUE, BINARY, sample_weight=w)),
    (M.LogLoss(), np.round(BINARY), TRUE, lambda w: S.log_loss(TRUE, np.round(BINARY), sample_weight=w)),
    (M.LogLoss(from_logits=True), np.log(BINARY / (1 - BINARY)), TRUE,
     lambda w: S.log_loss(TRUE, BINARY, sample_weight=w)),
    (M.LogLoss(from_logits=True), SCORES, LABELS, lambda w: S.log_loss(LABELS, PROBABILITIES, sample_weight=w)),
    (M.LogLoss(), PROBABILITIES, np.eye(5)[LABELS], lambda w: S.log_loss(LABELS, PROBABILITIES, sample_weight=w)),
])  # fmt: skip
def test_metrics_of_scores(metric, pred, target, expected, weight):
    assert metric(pred, target, weight) == pytest.approx(expected(weight), rel=1e-6)
    assert in_batches(metric, pred, target, weight) == pytest.approx(expected(weight), rel=1e-6)


def test_auc_of_one_class_alone_and_of_scores_far_out():
    assert np.isnan(M.auc([0.1, 0.2], [1, 1]))
    assert M.auc([40.0, 41.0, -900.0, -901.0], [0, 1, 1, 0], from_logits=True) == 0.75


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("ours, theirs", [
    (M.MAE(), S.mean_absolute_error), (M.MSE(), S.mean_squared_error), (M.R2(), S.r2_score),
])  # fmt: skip
def test_regression(ours, theirs, weight):
    expected = theirs(TARGETS, VALUES, sample_weight=weight)
    assert ours(VALUES, TARGETS, weight) == pytest.approx(expected, rel=1e-9)
    assert in_batches(ours, VALUES, TARGETS, weight) == pytest.approx(expected, rel=1e-9)
    shifted = theirs(TARGETS[:, 0] + 1e7, VALUES[:, 0] + 1e7)
    assert in_batches(ours, VALUES[:, :1] + 1e7, TARGETS[:, 0] + 1e7) == pytest.approx(shifted, rel=1e-6)


def test_r2_of_constant_targets():
    for pred in (np.ones(4), np.zeros(4)):
        assert M.r2(pred, np.ones(4)) == S.r2_score(np.ones(4), pred)
    assert np.isnan(M.r2(np.ones(1), np.ones(1)))


@pytest.mark.parametrize("metric, pred, target", [
    (M.Accuracy(), SCORES, LABELS), (M.Accuracy(multilabel=True), BINARY.astype("f4")[:, None], TRUE[:, None].astype("f4")),
    (M.MAE(), VALUES, TARGETS), (M.MSE(), VALUES, TARGETS),
])  # fmt: skip
def test_the_mean_made_of_ops_is_the_same(metric, pred, target):
    traced = metric.batch_mean(rv.from_numpy(pred), rv.from_numpy(target))
    assert traced.item() == pytest.approx(metric(pred, target), rel=1e-6)


def test_lookup_and_mistakes():
    assert isinstance(M.get("f1"), M.F1) and isinstance(M.get(M.accuracy), M.Accuracy) and isinstance(M.get(M.R2), M.R2)
    own = M.get(lambda p, t: float(len(p)))
    assert in_batches(own, SCORES, LABELS) == 97
    for make, message in [
        (lambda: M.get("accurracy"), "must be one of accuracy"),
        (lambda: M.accuracy(SCORES, (SCORES > 0) * 1), "must be one-hot"),
        (lambda: M.log_loss(SCORES, LABELS), "from_logits=True"),
        (lambda: M.log_loss(BINARY[:, None] * [[0.1, 0.1]], TRUE), "probabilities"),
        (lambda: M.auc(SCORES, LABELS + 1, from_logits=True), "class numbers in \\[0, 4\\]"),
        (lambda: M.get(3), "must be a name"),
        (lambda: M.accuracy(SCORES, LABELS[:5]), "do not fit"),
        (lambda: M.accuracy(SCORES, LABELS + 0.5), "fractions"),
        (lambda: M.f1(SCORES, LABELS), "needs two classes"),
        (lambda: M.F1("middle"), "average"),
        (lambda: M.mse(VALUES, TARGETS[:, :2]), "shape"),
        (lambda: M.confusion_matrix(LABELS, LABELS, num_classes=3), "below num_classes"),
        (lambda: M.accuracy(SCORES, LABELS, sample_weight=[1]), "97 rows"),
        (lambda: M.top_k_accuracy(LABELS, LABELS), "\\(N, C\\)"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            make()
