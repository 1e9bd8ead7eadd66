"""What a Trainer minimises: losses with weights of their own, weights of rows and classes, and parts that are replaced."""

import math

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.data import DataLoader, IterableDataset
from ranvier.train import Trainer

random = np.random.default_rng(0)
X = random.normal(size=(24, 4)).astype(np.float32)
Y = (X[:, :1] - 0.5 * X[:, 1:2]).astype(np.float32)
LABELS = random.integers(0, 3, 24)
IGNORED = np.where(np.arange(24) % 5 == 0, -100, LABELS)
TABLE = [1.0, 9.0, 0.5]


def linear(outputs=3):
    rv.manual_seed(0)
    return nn.Linear(4, outputs)


def at_once(loss, model, target, outputs=3):
    with rv.no_grad():
        return loss(model(rv.tensor(X)), rv.tensor(target)).item()


LOSSES = [
    (nn.CrossEntropyLoss(weight=rv.tensor(TABLE)), LABELS, 3),
    (nn.CrossEntropyLoss(weight=rv.tensor(TABLE), label_smoothing=0.1), IGNORED, 3),
    (nn.CrossEntropyLoss(), IGNORED, 3),
    (nn.CrossEntropyLoss(ignore_index=1), LABELS, 3),
    (nn.CrossEntropyLoss(reduction="sum"), LABELS, 3),
    (nn.CrossEntropyLoss(weight=rv.tensor(TABLE)), np.eye(3, dtype="f4")[LABELS], 3),
    (nn.NLLLoss(ignore_index=2), LABELS, 3),
    (nn.MSELoss(), Y, 1),
    (nn.MSELoss(reduction="sum"), Y, 1),
    (nn.KLDivLoss(reduction="batchmean"), np.eye(3, dtype="f4")[LABELS], 3),
    (nn.BCEWithLogitsLoss(pos_weight=rv.tensor([3.0])), (Y > 0) * np.float32(1), 1),
]


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("loss, target, outputs", LOSSES)
def test_weights_of_one_change_nothing_and_evaluation_is_of_all_rows(loss, target, outputs, compile):
    plain, weighted = (Trainer(linear(outputs), loss, "sgd", lr=0.01, compile=compile) for _ in range(2))
    for size in (1, 5, 24):
        value = plain.evaluate(X, target, batch_size=size)["loss"]
        assert value == pytest.approx(at_once(loss, plain.model, target), rel=1e-5)
    first = plain.fit(X, target, epochs=3, batch_size=7, seed=1, verbose=0)
    second = weighted.fit(X, target, epochs=3, batch_size=7, seed=1, verbose=0, sample_weight=np.full(24, 5.0))
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-5)
    np.testing.assert_allclose(plain.model.weight.detach(), weighted.model.weight.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss, target, outputs", LOSSES)
def test_a_weight_of_two_counts_like_the_row_twice(loss, target, outputs):
    weights = 1.0 + (np.arange(24) % 3 == 1)
    twice = np.repeat(np.arange(24), weights.astype(int))
    first, second = (Trainer(linear(outputs), loss, "sgd", lr=0.01) for _ in range(2))
    a = first.fit(X, target, batch_size=100, verbose=0, sample_weight=weights)["loss"][0]
    b = second.fit(X[twice], target[twice], batch_size=100, verbose=0)["loss"][0]
    scale = 24 / len(twice) if loss.reduction == "sum" else 1.0  # weights have a mean of 1
    assert a == pytest.approx(b * scale, rel=1e-5)
    if scale == 1.0:
        np.testing.assert_allclose(first.model.weight.detach(), second.model.weight.detach(), rtol=1e-4, atol=1e-6)


def test_loaders_go_by_what_labels_count_too():
    loss = nn.CrossEntropyLoss(weight=rv.tensor(TABLE))
    frozen = dict(optimizer="sgd", lr=0.0)
    batches = DataLoader(list(zip(X, IGNORED, strict=True)), batch_size=7)
    for source in (batches, DataLoader((X, IGNORED), batch_size=7)):
        trainer = Trainer(linear(), loss, **frozen)
        history = trainer.fit(source, verbose=0)
        assert history["loss"][0] == pytest.approx(at_once(loss, trainer.model, IGNORED), rel=1e-5)
    soft = DataLoader(list(zip(X, np.eye(3, dtype="f4")[LABELS], strict=True)), batch_size=7)
    trainer = Trainer(linear(), loss, **frozen)
    expected = at_once(loss, trainer.model, np.eye(3, dtype="f4")[LABELS])
    assert trainer.fit(soft, verbose=0)["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_ignored_labels_alone_teaches_nothing():
    labels = np.where(np.arange(24) < 6, -100, LABELS)
    trainer = Trainer(linear(), "cross_entropy", "sgd", lr=0.1)
    expected = at_once(nn.CrossEntropyLoss(), trainer.model, labels)
    assert trainer.evaluate(X, labels, batch_size=6)["loss"] == pytest.approx(expected, rel=1e-5)
    history = trainer.fit(X, labels, epochs=2, batch_size=6, shuffle=False, sample_weight=np.ones(24), verbose=0)
    assert np.isfinite(history["loss"]).all()


def test_weights_of_held_out_rows_do_not_scale_the_loss():
    weights = np.ones(24)
    weights[np.random.default_rng(3).permutation(24)[:6]] = 100.0  # the rows that the split keeps out
    trainer = Trainer(
        linear(1), lambda p, t, reduction="mean": F.mse_loss(p * 0 + 1, t * 0, reduction=reduction), "sgd", lr=0.1
    )
    history = trainer.fit(X, Y, validation_split=0.25, sample_weight=weights, seed=3, verbose=0)
    assert history["loss"][0] == pytest.approx(1.0)


@pytest.mark.parametrize("ignored", [-1, -100, 2])
def test_class_weights_leave_ignored_labels_out(ignored):
    labels = np.where(np.arange(24) % 4 == 0, ignored, LABELS % 2)
    table = {0: 1.0, 1: 3.0}
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    by_class, by_loss = Trainer(linear(), loss, "sgd", lr=0.1), Trainer(linear(), loss, "sgd", lr=0.1)
    a = by_class.fit(X, labels, batch_size=100, class_weight=table, verbose=0)
    by_loss.loss = nn.CrossEntropyLoss(weight=rv.tensor([1.0, 3.0, 1.0]), ignore_index=ignored)
    b = by_loss.fit(X, labels, batch_size=100, verbose=0)
    assert a["loss"][0] == pytest.approx(b["loss"][0], rel=1e-5)
    rows = labels != ignored
    alone, balanced = Trainer(linear(), loss, "sgd", lr=0.1), Trainer(linear(), loss, "sgd", lr=0.1)
    a = alone.fit(X[rows], labels[rows], batch_size=100, class_weight="balanced", verbose=0)
    b = balanced.fit(X, labels, batch_size=100, class_weight="balanced", verbose=0)
    assert a["loss"][0] == pytest.approx(b["loss"][0], rel=1e-5)


def test_class_weights_of_two_classes_and_of_one_hot_targets():
    positive = (Y > 0) * 1
    first, second = (Trainer(linear(1), "bce_with_logits", "sgd", lr=0.1) for _ in range(2))
    a = first.fit(X, positive, class_weight={1: 4.0}, seed=0, verbose=0)
    b = second.fit(X, positive, sample_weight=np.where(positive[:, 0], 4.0, 1.0), seed=0, verbose=0)
    assert a == b
    with pytest.raises(ValueError, match="class 2, but there are the classes 0 to 1"):
        first.fit(X, positive, class_weight={2: 4.0}, verbose=0)
    soft, hard = (Trainer(linear(), "cross_entropy", "sgd", lr=0.1) for _ in range(2))
    a = soft.fit(X, np.eye(3)[LABELS], class_weight=TABLE, seed=0, verbose=0)
    b = hard.fit(X, LABELS, class_weight=TABLE, seed=0, verbose=0)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)


@pytest.mark.parametrize("compile", [True, False])
def test_parts_that_are_replaced_are_used(compile):
    def weight():
        return trainer.model.weight.detach().numpy().copy()

    trainer = Trainer(linear(1), "mse", "sgd", lr=0.1, compile=compile)
    trainer.fit(X, Y, verbose=0)
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.0)
    before = weight()
    trainer.fit(X, Y, verbose=0)
    assert np.array_equal(weight(), before)
    trainer.optimizer = "sgd"
    trainer.optimizer.param_groups[0]["lr"] = 1.0
    trainer.clip_grad_norm = 1e-6
    trainer.fit(X, Y, batch_size=24, verbose=0)
    assert 0 < np.abs(weight() - before).max() < 1e-5
    trainer.clip_grad_norm = None
    mean = trainer.evaluate(X, Y)["loss"]
    trainer.loss = nn.MSELoss(reduction="sum")
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(24 * mean, rel=1e-5)
    trainer.loss.reduction = "mean"
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(mean, rel=1e-6)
    trainer.loss = "mae"
    trainer.metrics = ["mae"]
    result = trainer.evaluate(X, Y)
    assert result["loss"] == pytest.approx(result["mae"], rel=1e-6)
    old = trainer.predict(X)
    trainer.model = linear(1)
    assert not np.array_equal(trainer.predict(X), old)
    with pytest.raises(ValueError, match="another model"):
        trainer.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="clip_grad_norm"):
        trainer.clip_grad_norm = math.nan


def test_options_of_a_loss_that_change_between_weighted_runs():
    trainer = Trainer(linear(), nn.CrossEntropyLoss(), "sgd", lr=0.0)
    for smoothing in (0.0, 0.5):
        trainer.loss.label_smoothing = smoothing
        plain = trainer.fit(X, LABELS, verbose=0)["loss"]
        assert trainer.fit(X, LABELS, sample_weight=np.ones(24), verbose=0)["loss"] == pytest.approx(plain, rel=1e-5)


def test_metrics_read_outputs_as_the_loss_does():
    binary = (Y > 0) * 1
    trainer = Trainer(linear(1), "bce_with_logits", metrics=["acc", "auc", "log_loss"])
    result = trainer.evaluate(X, binary)
    assert result["log_loss"] == pytest.approx(result["loss"], rel=1e-5)
    assert result["acc"] == pytest.approx(np.mean((trainer.predict(X) > 0) == binary))
    trainer = Trainer(linear(), "cross_entropy", metrics=["accuracy", "log_loss"])
    hard = trainer.evaluate(X, LABELS)
    assert hard["log_loss"] == pytest.approx(hard["loss"], rel=1e-5)
    for one_hot in (np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS], np.eye(3, dtype=int)[LABELS]):
        assert trainer.evaluate(X, one_hot) == pytest.approx(hard, rel=1e-5)
    several = (X[:, :3] > 0) * 1
    trainer = Trainer(linear(), "bce_with_logits", metrics=["accuracy", "f1"])
    result = trainer.evaluate(X, several)
    assert result["accuracy"] == pytest.approx(np.mean((trainer.predict(X) > 0) == several))


def test_a_loss_that_is_no_longer_finite_is_said():
    with pytest.warns(UserWarning, match="the loss became (inf|nan) in epoch 1.*too large"):
        Trainer(linear(1), "mse", "sgd").fit(np.full((24, 4), 3e38, np.float32), Y, verbose=0)


def test_integers_and_bools_go_where_floats_do():
    whole = np.rint(3 * X)
    expected = Trainer(linear(1), "mse", "sgd", lr=0.1)
    history = expected.fit(whole, Y, epochs=2, seed=0, verbose=0)
    for data in (whole.astype(int), whole.astype(np.int16), whole.astype(int).tolist()):
        trainer = Trainer(linear(1), "mse", "sgd", lr=0.1)
        assert trainer.fit(data, Y, epochs=2, seed=0, verbose=0) == history
        np.testing.assert_array_equal(trainer.predict(data), expected.predict(whole))
        assert trainer.evaluate(data, Y) == expected.evaluate(whole, Y)
    assert Trainer(linear(1), "mse").predict(X > 0).shape == (24, 1)
    trainer = Trainer(linear(1), "mse", "sgd", lr=0.1)
    history = trainer.fit(whole.astype(int), Y, validation_data=[whole.astype(int), Y], verbose=0)
    assert history["val_loss"][0] == trainer.evaluate(whole, Y)["loss"]


def test_an_iterator_serves_one_pass():
    batches = [(X[:12], Y[:12]), (X[12:], Y[12:])]
    expected = Trainer(linear(1), "mse", "sgd", lr=0.1).fit(batches, verbose=0)
    assert Trainer(linear(1), "mse", "sgd", lr=0.1).fit(iter(batches), verbose=0) == expected
    with pytest.raises(ValueError, match="2 passes"):
        Trainer(linear(1), "mse", metrics=["r2"]).fit(iter(batches), verbose=0)


def test_loaders_with_an_order_of_their_own():
    frozen = dict(optimizer="sgd", lr=0.0)
    trainer = Trainer(linear(1), "mse", **frozen)
    part = trainer.evaluate(X[:6], Y[:6])["loss"]
    for options in ({"sampler": range(6), "batch_size": 3}, {"batch_sampler": [[0, 1, 2], [3, 4, 5]]}):
        assert trainer.fit(DataLoader((X, Y), **options), verbose=0)["loss"][0] == pytest.approx(part, rel=1e-5)

    class Stream(IterableDataset):
        def __iter__(self):
            return zip(X[:6], Y[:6], strict=True)

    for source in (Stream(), DataLoader(Stream(), batch_size=3)):
        history = trainer.fit(source, epochs=2, batch_size=4, validation_data=source, verbose=0)
        assert history["loss"] + history["val_loss"] == pytest.approx([part] * 4, rel=1e-5)


# ---------------------------------------------------------------- frames of pandas


def test_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"n": [1.0, 2, 3, 4], "k": [1, 2, 3, 4], "b": [True, False, True, True], "city": list("abac")})
    plain = np.column_stack([frame["n"], frame["k"], frame["b"], *(frame["city"] == c for c in "abc")]).astype("f4")
    dummies = pd.get_dummies(frame)
    target = pd.Series([1, 2, 3, 4], index=list("wxyz"))

    def fitted(x, y):
        rv.manual_seed(0)
        trainer = Trainer(nn.Linear(6, 1), "mse", "sgd", lr=0.01)
        return trainer.fit(x, y, epochs=2, seed=0, verbose=0), trainer.predict(x).tolist()

    expected = fitted(plain, np.array([[1.0], [2], [3], [4]]))
    categories = dummies.assign(k=pd.Categorical(dummies["k"]))
    for x in (dummies, dummies.convert_dtypes(), dummies.astype(object), dummies.astype({"k": "Int64"}), categories):
        assert fitted(x, target) == expected
    assert fitted(dummies, target.to_frame()) == fitted(dummies, target.astype("Float32")) == expected

    def classified(y):
        rv.manual_seed(0)
        return Trainer(nn.Linear(6, 3), "cross_entropy", metrics=["accuracy"]).evaluate(dummies, y)

    assert classified(pd.get_dummies(frame["city"])) == classified(frame["city"].astype("category").cat.codes)
    missing = dummies.assign(k=pd.array([1, None, 3, 4], dtype="Int64"))
    for x, y, message in [
        (frame, target, "x: column 'city' holds text, such as 'a'.*get_dummies"),
        (frame.assign(city=frame["city"].astype("category")), target, "column 'city' holds text"),
        (dummies.assign(t=pd.to_datetime(["2020-01-01"] * 4)), target, "column 't' holds dates"),
        (dummies, frame["city"], "y: column 'city' holds text.*class numbers"),
        (missing, target, r"1 NaN, the first at \[1, 1\]"),
        (dummies, None, "y is missing"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            fitted(x, y)
