"""Trainer: what it computes, compiled and not, its inputs, callbacks, interruption, predictions."""

import csv
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.data import DataLoader, TensorDataset
from ranvier.train import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    SchedulerCallback,
    TerminateOnNaN,
    Trainer,
)
from ranvier.train import metrics as M

random = np.random.default_rng(0)
X = random.normal(size=(50, 4)).astype(np.float32)
Y = (X[:, :1] - 0.5 * X[:, 1:2]).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)


def mlp(outputs=1, seed=0):
    rv.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs))


def state(model):
    return {name: np.array(t.detach()) for name, t in model.state_dict().items()}


def by_hand(model, loss, optimizer, x, y, epochs, batch, orders, weights=None):
    """The plain loop that fit stands for."""
    losses = []
    for order in orders[:epochs]:
        total = 0.0
        for begin in range(0, len(x), batch):
            rows = order[begin : begin + batch]
            optimizer.zero_grad()
            output = model(rv.tensor(x[rows]))
            value = loss(output, rv.tensor(y[rows]))
            if weights is not None:
                value = (value.reshape(len(rows), -1).mean(1) * rv.tensor(weights[rows])).mean()
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        losses.append(total / len(x))
    return losses


def orders(seed, epochs, rows=50):
    generator = np.random.default_rng(seed)
    return [generator.permutation(rows) for _ in range(epochs)]


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("batch", [7, 10, 50, 1000, 1])
def test_fit_is_the_plain_loop(batch, compile):
    first, second = mlp(), mlp()
    trainer = Trainer(first, "mse", "adam", lr=0.02, compile=compile)
    history = trainer.fit(X, Y, epochs=3, batch_size=batch, seed=4, verbose=0)
    losses = by_hand(
        second, nn.MSELoss(), optim.Adam(second.parameters(), lr=0.02), X, Y, 3, batch, orders(4, 3)
    )  # fmt: skip
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    for a, b in zip(state(first).values(), state(second).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert history.epoch == [0, 1, 2] and history.history is history and first.training


def test_runs_are_reproducible_and_the_seed_matters():
    results = []
    for seed in (1, 1, 2):
        model = mlp()
        Trainer(model, "mse", "sgd", lr=0.1).fit(X, Y, epochs=2, batch_size=8, seed=seed, verbose=0)
        results.append(state(model)["0.weight"])
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_without_shuffle_rows_come_in_order():
    first, second = mlp(), mlp()
    Trainer(first, "mse", "sgd", lr=0.1).fit(X, Y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    by_hand(second, nn.MSELoss(), optim.SGD(second.parameters(), lr=0.1), X, Y, 1, 8, [np.arange(50)])
    np.testing.assert_allclose(state(first)["0.weight"], state(second)["0.weight"], rtol=1e-4, atol=1e-6)


def test_classification_with_metrics_and_validation():
    model = mlp(3)
    trainer = Trainer(model, "cross_entropy", "adam", ["accuracy", M.F1("macro"), M.ConfusionMatrix(3)], lr=0.05)
    history = trainer.fit(X, LABELS, epochs=40, batch_size=16, validation_data=(X[:20], LABELS[:20]), seed=0, verbose=0)
    assert history["loss"][-1] < 0.3 * history["loss"][0] and history["accuracy"][-1] > 0.9
    scores = trainer.predict(X[:20])
    assert history["val_accuracy"][-1] == pytest.approx(M.accuracy(scores, LABELS[:20]))
    assert history["val_f1"][-1] == pytest.approx(M.f1(scores, LABELS[:20], "macro"))
    assert history["val_confusion_matrix"][-1].sum() == 20
    assert history["f1"][-1] == pytest.approx(M.f1(trainer.predict(X), LABELS, "macro"))
    result = trainer.evaluate(X, LABELS, batch_size=7)
    expected = nn.CrossEntropyLoss()(rv.tensor(trainer.predict(X)), rv.tensor(LABELS)).item()
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    assert list(result) == ["loss", "accuracy", "f1", "confusion_matrix"]


def test_validation_split_keeps_rows_out():
    seen = []
    data = np.arange(50, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            if self.training:
                seen.extend(np.asarray(x)[:, 0].tolist())
            return self.layer(x)

    trainer = Trainer(Spy(), "mse", "sgd", lr=1e-9, compile=False)
    history = trainer.fit(data, Y, epochs=2, batch_size=16, validation_split=0.2, seed=0, verbose=0)
    assert len(seen) == 80 and len(set(seen)) == 40 and len(history["val_loss"]) == 2


@pytest.mark.parametrize("loss, target", [(nn.MSELoss, Y), (nn.CrossEntropyLoss, LABELS)])
def test_weights(loss, target):
    weights = random.uniform(0, 2, 50)
    outputs = 3 if target is LABELS else 1
    first, second = mlp(outputs), mlp(outputs)
    history = Trainer(first, loss(), "sgd", lr=0.1).fit(
        X, target, epochs=2, batch_size=10, sample_weight=10 * weights, seed=1, verbose=0
    )  # fmt: skip
    scaled = (weights / weights.mean()).astype(np.float32)
    losses = by_hand(
        second, loss(reduction="none"), optim.SGD(second.parameters(), lr=0.1), X, target, 2, 10,
        orders(1, 2), scaled,
    )  # fmt: skip
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(state(first)["0.weight"], state(second)["0.weight"], rtol=1e-3, atol=1e-5)


def test_class_weights_are_sample_weights_by_class():
    results = []
    table = {0: 1.0, 2: 3.0}
    counts = np.bincount(LABELS)
    for options in (
        dict(class_weight=table), dict(class_weight=[1, 1, 3]),
        dict(sample_weight=np.array([1, 1, 3.0])[LABELS]),
        dict(class_weight="balanced"), dict(sample_weight=(1 / counts)[LABELS]),
    ):  # fmt: skip
        model = mlp(3)
        Trainer(model, "cross_entropy", "sgd", lr=0.1).fit(X, LABELS, epochs=1, seed=0, verbose=0, **options)
        results.append(state(model)["0.weight"])
    np.testing.assert_allclose(results[0], results[1])
    np.testing.assert_allclose(results[0], results[2], rtol=1e-6)
    np.testing.assert_allclose(results[3], results[4], rtol=1e-6)
    assert not np.allclose(results[0], results[3])


def test_inputs_are_brought_to_what_the_model_takes():
    """float64 inputs, lists, integer targets, a column of labels, (N,) targets for (N, 1) outputs."""
    model = mlp()
    losses = [
        Trainer(mlp(), "mse", "sgd", lr=0.1).fit(x, y, epochs=1, seed=0, verbose=0)["loss"][0]
        for x, y in [
            (X, Y),
            (X.astype("f8"), Y[:, 0]),
            (X.tolist(), Y.tolist()),
            (rv.tensor(X), rv.tensor(Y)),
        ]
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    Trainer(model, "mse").fit(X, LABELS, verbose=0)
    for y in (LABELS[:, None], LABELS.astype("f4"), LABELS.astype("u1")):
        assert Trainer(mlp(3), "cross_entropy", "sgd").evaluate(X, y)["loss"] == pytest.approx(
            Trainer(mlp(3), "cross_entropy", "sgd").evaluate(X, LABELS)["loss"]
        )
    binary = Trainer(mlp(), "bce_with_logits", "adam", ["accuracy"], lr=0.1)
    history = binary.fit(X, X[:, 0] > 0, epochs=30, seed=0, verbose=0)
    assert history["accuracy"][-1] > 0.9
    assert binary.evaluate(X, X[:, 0] > 0)["accuracy"] == np.mean((binary.predict(X)[:, 0] > 0) == (X[:, 0] > 0))


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.table = nn.Linear(4, 1), nn.Parameter(rv.zeros(3, 1))

        def forward(self, x, label):
            return self.a(x) + self.table[label]

    trainer = Trainer(Two(), "mse", "adam", lr=0.05)
    history = trainer.fit((X, LABELS), Y + LABELS[:, None], epochs=60, seed=0, verbose=0)
    assert history["loss"][-1] < 0.05 * history["loss"][0]
    assert trainer.predict((X, LABELS), batch_size=16).shape == (50, 1)
    flat, nested = [(X, LABELS, Y)], [([X, LABELS], Y)]
    assert trainer.evaluate(nested) == trainer.evaluate(flat) == trainer.evaluate((X, LABELS), Y)
    assert trainer.fit(nested, epochs=1, verbose=0)["loss"][0] > 0


NAN = X.copy()
NAN[3, 2] = np.nan


@pytest.mark.parametrize("call, message", [
    (lambda t: t.fit(X, Y[:10]), "x has 50 rows, y has 10 rows"),
    (lambda t: t.fit([X, X], Y), r"a list of 2 arrays is 2 rows; several inputs are a tuple"),
    (lambda t: t.fit(X[:0], Y[:0]), "no rows"),
    (lambda t: t.fit(NAN, Y), r"x\(50, 4\) has 1 NAN, the first at \[3, 2\]".replace("NAN", "NaN")),
    (lambda t: t.fit(X, np.where(Y > 0, np.nan, Y)), "y.*NaN"),
    (lambda t: t.fit(X, None), "y is missing"),
    (lambda t: t.fit(X, Y, epochs=-1), "epochs=-1"),
    (lambda t: t.fit(X, Y, epochs=1.5), "epochs=1.5"),
    (lambda t: t.fit(X, Y, batch_size=0), "batch_size=0"),
    (lambda t: t.fit(X, Y, validation_split=1.0), "validation_split"),
    (lambda t: t.fit(X[:1], Y[:1], validation_split=0.5), "leaves none"),
    (lambda t: t.fit(X, Y, validation_split=0.5, validation_data=(X, Y)), "not both"),
    (lambda t: t.fit(X, Y, validation_data=(X, Y[:3])), "validation_data"),
    (lambda t: t.fit(X, Y, sample_weight=[1, 2]), "one number for each of the 50 rows"),
    (lambda t: t.fit(X, Y, sample_weight=-np.ones(50)), ">= 0"),
    (lambda t: t.fit(X, Y, class_weight="even"), "class_weight"),
    (lambda t: t.fit(X, Y, callbacks=[3]), "Callback"),
    (lambda t: t.fit(X, Y, scheduler=optim.lr_scheduler.StepLR(optim.SGD(mlp().parameters()), 1)),
     "another optimizer"),
    (lambda t: t.fit(X, np.array(["a"] * 50)), "numeric"),
    (lambda t: t.fit(X[:, :3], Y), "linear"),
    (lambda t: t.predict(X[:, :3]), "linear"),
    (lambda t: t.predict(X[:0]), "no rows"),
    (lambda t: t.fit(7), "iterable"),
    (lambda t: t.fit([X, Y]), "each batch of the loader"),
    (lambda t: t.evaluate(7), "iterable"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS + 1),
     r"label 3 at \[\d+\], but the model gives 3 classes"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS - 1), "labels must be in \\[0, 2\\]"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS + 0.5), "fractions"),
    (lambda t: Trainer(mlp(), "hinge"), "loss='hinge'"),
    (lambda t: Trainer(mlp(), "mse", "adan"), "optimizer='adan'"),
    (lambda t: Trainer(mlp(), "mse", optim.SGD(mlp().parameters()), lr=1), "optimizer's name"),
    (lambda t: Trainer(mlp(), 3), "loss=3"),
    (lambda t: Trainer(lambda x: x), "nn.Module"),
    (lambda t: Trainer(mlp(), "mse", metrics=["precission"]), "must be one of accuracy"),
    (lambda t: t.fit(np.where(X > 2, np.inf, X), Y), r"infinite values, the first at \["),
    (lambda t: t.fit(X, np.full_like(Y, -np.inf)), "y.*50 infinite values"),
    (lambda t: t.fit(X.astype("f8") * 1e300, Y), "x: .* is more than float32 can hold"),
    (lambda t: t.fit(X, Y, validation_data=(X, Y, Y)), "validation_data must be \\(x, y\\) or a loader, not 3 things"),
    (lambda t: t.fit((b for b in [(X, Y)]), epochs=2), "generator gives its batches once, but 2 passes"),
    (lambda t: t.fit(iter([{"x": X, "y": Y}])), "not dict with the keys 'x', 'y'"),
    (lambda t: t.fit({"x": X, "y": Y}), "x=dict without y"),
    (lambda t: t.fit(X, Y, sample_weight=np.full(50, np.nan)), "weights must be finite"),
    (lambda t: t.fit(X, Y, class_weight=[1, 2]), "fractions"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS, class_weight={3: 1.0}), "class 3.*classes 0 to 2"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS, class_weight={"1": 1.0}), "class '1'"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, LABELS, class_weight=[1.0, 2.0]), "each of the 3 classes"),
    (lambda t: Trainer(mlp(), "bce_with_logits").fit(X, Y), "targets in \\[0, 1\\]"),
    (lambda t: Trainer(mlp(), "bce").fit(X, Y > 0), "needs probabilities, but the model gives values from .* Sigmoid"),
    (lambda t: t.fit(X, Y, sample_weight=["a"] * 50), "sample_weight holds text"),
    (lambda t: t.fit(X, Y, seed="a"), "seed='a'"),
    (lambda t: Trainer(t.model, "mse", t.optimizer, "accuracy").fit(X, Y), "class numbers; these have fractions"),
    (lambda t: Trainer(t.model, "mse", clip_grad_norm="1"), "clip_grad_norm='1'"),
    (lambda t: Trainer(mlp(), "mse", clip_grad_norm=-1), "clip_grad_norm=-1"),
    (lambda t: Trainer(mlp(), "mse", clip_grad_norm=float("nan")), "clip_grad_norm=nan"),
    (lambda t: Trainer(mlp(), "mse", optim.SGD(mlp().parameters())).fit(X, Y), "made for another model"),
    (lambda t: Trainer(mlp(), nn.MSELoss(reduction="none")).fit(X, Y), "must be 'mean' or 'sum'"),
    (lambda t: Trainer(mlp(3), "cross_entropy").fit(X, np.ones((50, 3), int)), "is not one-hot"),
])  # fmt: skip
def test_mistakes_are_named_and_change_nothing(call, message):
    model = mlp()
    before = state(model)
    with pytest.raises((ValueError, TypeError), match=message):
        call(Trainer(model, "mse", "sgd", lr=0.1))
    for name, array in state(model).items():
        np.testing.assert_array_equal(array, before[name])
    assert model.training


def test_a_metric_that_cannot_take_the_classes_is_refused_before_training():
    model = mlp(3)
    before = state(model)
    trainer = Trainer(model, "cross_entropy", "sgd", ["precision"], lr=0.1)
    with pytest.raises(ValueError, match="needs two classes, but there are 3"):
        trainer.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(array, before[name]) for name, array in state(model).items())


def test_ignored_labels_pass():
    y = np.where(np.arange(50) % 7 == 0, -100, LABELS)
    history = Trainer(mlp(3), "cross_entropy", "adam").fit(X, y, epochs=1, verbose=0)
    assert np.isfinite(history["loss"][0])


# ---------------------------------------------------------------- loaders


def test_loaders_and_streams():
    whole = Trainer(mlp(), "mse", "sgd", lr=0.1)
    native = whole.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    for source in (
        loader,
        [(a, b) for a, b in loader],
        DataLoader(list(zip(X, Y, strict=True)), batch_size=16),
    ):
        history = Trainer(mlp(), "mse", "sgd", lr=0.1, metrics=["mae"]).fit(source, epochs=2, verbose=0)
        np.testing.assert_allclose(history["loss"], native["loss"], rtol=1e-5)
        assert len(history["mae"]) == 2
    trainer = Trainer(mlp(), "mse", "sgd", ["mae"], lr=0.1)
    history = trainer.fit(TensorDataset(X, Y), batch_size=16, validation_data=loader, shuffle=False, verbose=0)
    assert history["loss"] == native["loss"][:1]
    for source in (loader, TensorDataset(X, Y), [(a, b) for a, b in loader]):
        assert trainer.evaluate(source) == trainer.evaluate(X, Y)
    assert history["val_mae"][0] == trainer.evaluate(X, Y)["mae"]
    dropped = DataLoader(TensorDataset(X, Y), batch_size=16, drop_last=True)
    calls = []
    Trainer(mlp(), "mse").fit(
        dropped, verbose=0, callbacks=[LambdaCallback(on_batch_end=lambda b, logs: calls.append(b))]
    )
    assert calls == [0, 1, 2]
    with pytest.raises(ValueError, match="no batch"):
        Trainer(mlp(), "mse").fit(DataLoader(TensorDataset(X, Y), batch_size=64, drop_last=True), verbose=0)
    with pytest.raises(ValueError, match="no batches"):
        Trainer(mlp(), "mse").fit([], verbose=0)


# ---------------------------------------------------------------- callbacks


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda *args: self.calls.append((name, *[a for a in args if isinstance(a, int)]))
        return super().__getattribute__(name)

    def wants_batches(self):
        return True


def test_hooks_come_in_order():
    recorder = Recorder()
    Trainer(mlp(), "mse").fit(X, Y, epochs=2, batch_size=25, callbacks=[recorder], verbose=0)
    epoch = [("on_batch_begin", 0), ("on_batch_end", 0), ("on_batch_begin", 1), ("on_batch_end", 1)]
    assert recorder.calls == [
        ("on_train_begin",),
        ("on_epoch_begin", 0), *epoch, ("on_epoch_end", 0),
        ("on_epoch_begin", 1), *epoch, ("on_epoch_end", 1),
        ("on_train_end",),
    ]  # fmt: skip


def test_early_stopping_restores_the_best():
    model = mlp()
    seen = []
    stopping = EarlyStopping("val_loss", patience=3)
    trainer = Trainer(model, "mse", "sgd", lr=0.05)

    def worsen(epoch, logs):  # from epoch 4 on training spoils the model
        seen.append((logs["val_loss"], state(model)["0.weight"]))
        if epoch >= 4:
            trainer.optimizer.param_groups[0]["lr"] = -0.5

    spoil = LambdaCallback(on_epoch_end=worsen)
    history = trainer.fit(X, Y, epochs=50, validation_data=(X, Y), callbacks=[spoil, stopping], seed=0, verbose=0)
    best = int(np.argmin(history["val_loss"]))
    assert stopping.best_epoch == best and len(history.epoch) == best + 4 and stopping.stopped_epoch == best + 3
    np.testing.assert_array_equal(state(model)["0.weight"], seen[best][1])
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(history["val_loss"][best])
    with pytest.raises(KeyError, match="val_loss"):
        Trainer(mlp(), "mse").fit(X, Y, callbacks=[EarlyStopping()], verbose=0)


def test_early_stopping_knows_which_way_is_better():
    stopping = EarlyStopping("accuracy", patience=100)
    history = Trainer(mlp(3), "cross_entropy", "adam", ["accuracy"], lr=0.05).fit(
        X, LABELS, epochs=20, callbacks=[stopping], seed=0, verbose=0
    )  # fmt: skip
    assert stopping.best == max(history["accuracy"])


def test_checkpoints_and_csv(tmp_path):
    model = mlp()
    trainer = Trainer(model, "mse", "adam", lr=0.05)
    history = trainer.fit(
        X, Y, epochs=4, validation_split=0.2, seed=0, verbose=0,
        callbacks=[
            ModelCheckpoint(tmp_path / "m-{epoch:02d}.safetensors", save_freq=2),
            ModelCheckpoint(tmp_path / "best.safetensors", "loss", save_best_only=True),
            CSVLogger(tmp_path / "log.csv"),
        ],
    )  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == [
        "best.safetensors",
        "log.csv",
        "m-02.safetensors",
        "m-04.safetensors",
    ]
    loaded, metadata = rv.saving.load(tmp_path / "best.safetensors", return_metadata=True)
    assert metadata["epoch"] == str(int(np.argmin(history["loss"])) + 1)
    assert float(metadata["loss"]) == min(history["loss"])
    rows = list(csv.DictReader(open(tmp_path / "log.csv")))
    assert [float(r["val_loss"]) for r in rows] == history["val_loss"] and rows[-1]["epoch"] == "3"
    trainer.fit(
        X,
        Y,
        epochs=1,
        validation_split=0.2,
        verbose=0,
        callbacks=[CSVLogger(tmp_path / "log.csv", append=True)],
    )
    assert len(list(csv.DictReader(open(tmp_path / "log.csv")))) == 5


@pytest.mark.parametrize("how", ["scheduler", "callback", "batch", "function", "function of epoch"])
def test_schedules(how):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.4)
    trainer = Trainer(model, "mse", optimizer)
    step = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    options, expected = {
        "scheduler": (dict(scheduler=step), [0.4, 0.2, 0.1]),
        "callback": (dict(callbacks=[step]), [0.4, 0.2, 0.1]),
        "batch": (dict(callbacks=[SchedulerCallback(step, "batch")]), [0.4, 0.1, 0.025]),
        "function": (dict(callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2)]), [0.2, 0.1, 0.05]),
        "function of epoch": (dict(callbacks=[LearningRateScheduler(lambda t: 0.1 * t)]), [0, 0.1, 0.2]),
    }[how]
    history = trainer.fit(X, Y, epochs=3, batch_size=25, verbose=0, seed=0, **options)
    np.testing.assert_allclose(history["lr"], expected)
    second = mlp()
    plain = optim.SGD(second.parameters(), lr=0.4)
    rates = iter(0.4 * 0.5 ** np.arange(6)) if how == "batch" else iter(np.repeat(expected, 2))
    for order in orders(0, 3):
        for begin in (0, 25):
            plain.param_groups[0]["lr"] = next(rates)
            by_hand(
                second,
                nn.MSELoss(),
                plain,
                X[order[begin : begin + 25]],
                Y[order[begin : begin + 25]],
                1,
                25,
                [np.arange(25)],
            )
    np.testing.assert_allclose(state(model)["0.weight"], state(second)["0.weight"], rtol=1e-3, atol=1e-5)


def test_plateau_and_onecycle_in_fit():
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10, threshold_mode="abs")
    history = Trainer(model, "mse", optimizer).fit(X, Y, epochs=4, scheduler=plateau, verbose=0)
    assert history["lr"][-1] < history["lr"][0]
    optimizer = optim.Adam(model.parameters())
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, 0.01, epochs=3, steps_per_epoch=2)
    Trainer(model, "mse", optimizer).fit(X, Y, epochs=3, batch_size=25, scheduler=cycle, verbose=0)
    assert cycle.last_epoch == 6


def test_nan_ends_the_run():
    with pytest.warns(UserWarning, match="became"):
        history = Trainer(mlp(), "mse", "sgd", lr=1e20).fit(X, Y, epochs=20, callbacks=[TerminateOnNaN()], verbose=0)
    assert len(history.epoch) < 5


def test_an_exception_in_a_callback_leaves_everything_usable():
    model = mlp()
    trainer = Trainer(model, "mse", "adam", lr=0.05)
    handler = signal.getsignal(signal.SIGINT)

    def fail(epoch, logs):
        if epoch == 2:
            raise RuntimeError("mine")

    for hook in ("on_epoch_end", "on_epoch_begin", "on_batch_end"):
        with pytest.raises(RuntimeError, match="mine"):
            trainer.fit(X, Y, epochs=5, batch_size=16, callbacks=[LambdaCallback(**{hook: fail})], verbose=0)
        assert signal.getsignal(signal.SIGINT) is handler and model.training
    assert len(trainer.history.epoch) == 0  # the batch hook failed within the first epoch
    assert len(trainer.fit(X, Y, epochs=2, verbose=0).epoch) == 2


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_batch_end"])
def test_ctrl_c_ends_the_run_cleanly(moment):
    trainer = Trainer(mlp(), "mse", "adam")
    ended = []

    def press(number, logs):
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    hooks = LambdaCallback(**{moment: press}, on_train_end=lambda logs: ended.append(1))
    with pytest.raises(KeyboardInterrupt, match="interrupted in epoch [12] of 100"):
        trainer.fit(X, Y, epochs=100, batch_size=10, callbacks=[hooks], verbose=0)
    history = trainer.history
    assert history.interrupted and len(history.epoch) == (2 if moment == "on_epoch_end" else 1) and ended == [1]
    assert np.isfinite(history["loss"]).all() and "interrupted" in repr(history)
    assert not trainer.fit(X, Y, verbose=0).interrupted


def test_a_second_ctrl_c_raises():
    def press(number, logs):
        os.kill(os.getpid(), signal.SIGINT)

    trainer = Trainer(mlp(), "mse")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            X,
            Y,
            epochs=10,
            verbose=0,
            callbacks=[LambdaCallback(on_batch_end=press, on_train_end=lambda logs: press(0, 0))],
        )
    assert trainer.predict(X).shape == (50, 1)


def test_ctrl_c_comes_through_a_long_native_epoch():
    code = (
        "import numpy as np, os, signal, threading, time, ranvier as rv\n"
        "from ranvier import nn\n"
        "from ranvier.train import Trainer\n"
        "x = np.zeros((3_000_000, 4), np.float32)\n"
        "trainer = Trainer(nn.Linear(4, 1), 'mse')\n"
        "threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "began = time.perf_counter()\n"
        "try: trainer.fit(x, x[:, :1], epochs=1000, batch_size=4, verbose=0)\n"
        "except KeyboardInterrupt: print('fine')\n"
        "assert trainer.history.interrupted and time.perf_counter() - began < 20\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "fine\n", done.stderr


# ---------------------------------------------------------------- the rest


def test_models_that_cannot_be_traced_run_eagerly():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            y = self.layer(x)
            return y if y.sum().item() > 0 else y * 0.5

    trainer = Trainer(Branch(), "mse", "adam", ["mae"], lr=0.05)
    with pytest.warns(UserWarning, match="uncompiled"):
        history = trainer.fit(X, Y, epochs=20, seed=0, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    assert trainer.predict(X).shape == (50, 1)


class RunningMean(nn.Module):
    """Subtracts the mean of the batch; in evaluation mode, the running mean of the batches seen in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", rv.zeros(4))

    def forward(self, x):
        if not self.training:
            return x - self.mean
        mean = x.mean(0)
        with rv.no_grad():
            self.mean.copy_(0.5 * self.mean + 0.5 * mean)
        return x - mean


def test_dropout_and_buffers_follow_the_mode():
    rv.manual_seed(0)
    model = nn.Sequential(RunningMean(), nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
    trainer = Trainer(model, "mse", "adam", lr=0.01)
    trainer.fit(X + 3, Y, epochs=3, batch_size=16, validation_split=0.2, verbose=0)
    seen = np.array(model[0].mean)
    np.testing.assert_allclose(seen, (X + 3).mean(0), atol=0.7)
    np.testing.assert_array_equal(trainer.predict(X), trainer.predict(X))
    trainer.evaluate(X, Y)
    np.testing.assert_array_equal(np.asarray(model[0].mean), seen)
    assert model.training
    model.eval()
    with rv.no_grad():
        np.testing.assert_allclose(trainer.predict(X), np.asarray(model(rv.tensor(X))), rtol=1e-5, atol=1e-6)


def test_clip_grad_norm():
    model = mlp()
    before = state(model)
    Trainer(model, "mse", "sgd", lr=1.0, clip_grad_norm=1e-3).fit(X, 1000 * Y, batch_size=50, verbose=0)
    moved = np.sqrt(sum(((a - before[k]) ** 2).sum() for k, a in state(model).items()))
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_predict_sees_new_weights_and_keeps_memory():
    model = mlp()
    trainer = Trainer(model, "mse", "sgd", lr=0.1)
    one = X[:1]
    for _ in range(3):
        trainer.fit(X, Y, epochs=1, verbose=0)
        with rv.no_grad():
            np.testing.assert_allclose(trainer.predict(one), np.asarray(model(rv.tensor(one))), rtol=1e-5)
    model.load_state_dict({name: np.zeros_like(a) for name, a in state(model).items()})
    assert trainer.predict(one).tolist() == [[0.0]]
    model[2].bias.data = rv.tensor([3.0])
    assert trainer.predict(one).tolist() == [[3.0]]
    np.testing.assert_array_equal(trainer.predict(X, batch_size=7), trainer.predict(X))
    assert trainer.predict(X.astype(np.float64)[::2]).dtype == np.float32
    for _ in range(100):
        trainer.predict(one)
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    for _ in range(20000):
        trainer.predict(one)
    grown = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    assert grown < 2000


def test_backends_agree():
    results = []
    for name in ("native", "numpy"):
        try:
            rv.backend(name)
        except rv.BackendError:
            pytest.skip("no native module")
        with rv.backend(name):
            model = mlp()
            trainer = Trainer(model, "mse", "adam", ["mae"], lr=0.02)
            history = trainer.fit(X, Y, epochs=3, batch_size=16, seed=0, verbose=0)
            results.append((history["loss"], history["mae"], trainer.predict(X)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", [np.int64, np.int32, np.uint8])
def test_a_loss_of_ones_own_gets_labels_as_integers(labels):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)).astype("f4"), rng.integers(0, 3, 60).astype(labels)

    def trained(loss):
        rv.manual_seed(0)
        trainer = Trainer(nn.Linear(4, 3), loss, "adam")
        return trainer.fit(x, y, epochs=2, batch_size=20, verbose=0).history["loss"], trainer.evaluate(x, y)

    assert trained(lambda p, t: F.cross_entropy(p, t)) == trained(F.cross_entropy)
    counts = Trainer(nn.Linear(4, 1), lambda p, t: F.mse_loss(p, t)).fit(
        x, y, epochs=1, verbose=0
    )  # numbers, one a row
    assert np.isfinite(counts.history["loss"]).all()


@pytest.mark.parametrize("what", ["evaluate", "fit", "predict"])
def test_a_signal_handler_may_run_what_is_running(what):
    """A handler that runs the very plan whose epoch it interrupts neither waits for ever nor disturbs it."""
    x = np.linspace(-1, 1, 400_000, dtype=np.float32).reshape(-1, 2)
    y = x.sum(1, keepdims=True)
    model = nn.Linear(2, 1)
    trainer = Trainer(model, "mse", "sgd", lr=0.0)
    expected = trainer.evaluate(x, y, batch_size=1)["loss"]
    inner = []

    def handler(signum, frame):
        if what == "evaluate":
            inner.append(trainer.evaluate(x[:1000], y[:1000], batch_size=1)["loss"])
        elif what == "fit":
            inner.append(trainer.fit(x[:1000], y[:1000], epochs=1, batch_size=1, verbose=0)["loss"][-1])
        else:
            inner.append(trainer.predict(x[:1000]))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(20):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            if what == "fit":
                found = trainer.fit(x, y, epochs=1, batch_size=1, verbose=0, shuffle=False)["loss"][-1]
            else:
                found = trainer.evaluate(x, y, batch_size=1)["loss"]
            signal.setitimer(signal.ITIMER_REAL, 0)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
            if inner:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert inner
