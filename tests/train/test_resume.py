"""Runs that are broken off and gone on with: every number is what it would have been without a break."""

import copy
import csv
import os
import pickle
import signal

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, optim
from ranvier.data import DataLoader, StackDataset
from ranvier.optim import lr_scheduler as L
from ranvier.train import CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint, Trainer

random = np.random.default_rng(0)
X = random.normal(size=(40, 4)).astype(np.float32)
Y = (X[:, :1] - 0.5 * X[:, 1:2]).astype(np.float32)


def made(optimizer=lambda p: optim.Adam(p, lr=0.05), **options):
    rv.manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))
    return Trainer(model, "mse", optimizer(model.parameters()), ["mae", "r2"], **options)


def numbers(trainer):
    history = {k: v for k, v in trainer.history.items()}
    return history, trainer.history.epoch, [p.detach().numpy().tolist() for p in trainer.model.parameters()]


def failing(after):
    def fail(epoch, logs):
        if epoch == after:
            raise RuntimeError("power cut")

    return LambdaCallback(on_epoch_begin=fail)


NEVER = -1
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.05, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.05),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "nadam": lambda p: optim.NAdam(p, lr=0.02),
    "asgd": lambda p: optim.ASGD(p, lr=0.02),
    "rprop": lambda p: optim.Rprop(p, lr=0.01),
}
SCHEDULES = {
    "none": lambda o: None,
    "step": lambda o: L.StepLR(o, 2, 0.5),
    "plateau": lambda o: L.ReduceLROnPlateau(o, patience=0, threshold=10.0),
    "onecycle": lambda o: L.OneCycleLR(o, 0.1, epochs=6, steps_per_epoch=5),
    "sequence": lambda o: L.SequentialLR(o, [L.LinearLR(o, 0.1, total_iters=2), L.ExponentialLR(o, 0.9)], [2]),
    "restarts": lambda o: L.CosineAnnealingWarmRestarts(o, 2, 2),
}


@pytest.mark.parametrize("optimizer, schedule, compile", [
    *((name, "step", True) for name in OPTIMIZERS), *(("adam", name, True) for name in SCHEDULES),
    ("sgd", "onecycle", False),
])  # fmt: skip
def test_a_run_goes_on_bit_for_bit(tmp_path, optimizer, schedule, compile):
    def fit(after, folder, **options):
        trainer = made(OPTIMIZERS[optimizer], compile=compile)
        os.makedirs(folder, exist_ok=True)
        hooks = [
            ModelCheckpoint(folder / "run", save_weights_only=False),  # before those that it has to save the states of
            EarlyStopping("val_loss", patience=50),
            ModelCheckpoint(folder / "best", "loss", save_best_only=True),
            CSVLogger(folder / "log.csv"),
            failing(after),
        ]
        data = dict(epochs=6, batch_size=8, validation_split=0.1, verbose=0, callbacks=hooks)
        trainer.fit(X, Y, scheduler=SCHEDULES[schedule](trainer.optimizer), **data, **options)
        weights, notes = rv.saving.load(folder / "best", return_metadata=True)
        best = {name: t.tolist() for name, t in weights.items()}, notes
        return numbers(trainer), list(csv.reader(open(folder / "log.csv"))), best

    whole = fit(NEVER, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(4, tmp_path / "cut")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(5, tmp_path / "cut", resume=tmp_path / "cut" / "run")
    assert fit(NEVER, tmp_path / "cut", resume=tmp_path / "cut" / "run") == whole


@pytest.mark.parametrize("kind", ["memory", "stream", "weighted"])
def test_orders_of_loaders_go_on(tmp_path, kind):
    def fit(epochs, **options):
        trainer = made()
        if kind == "weighted":
            trainer.fit(X, Y, epochs, 8, sample_weight=np.arange(40), verbose=0, seed=3, **options)
        else:
            dataset = (X, Y) if kind == "memory" else StackDataset(X, Y)
            loader = DataLoader(dataset, batch_size=8, shuffle=True, generator=rv.Generator(5))
            trainer.fit(loader, epochs=epochs, verbose=0, **options)
        return trainer

    whole = fit(6)
    fit(3).save(tmp_path / "run")
    assert numbers(fit(6, resume=tmp_path / "run")) == numbers(whole)


def test_save_load_and_resume_in_one_process(tmp_path):
    whole = made()
    whole.fit(X, Y, epochs=8, batch_size=8, seed=1, verbose=0)
    first = made()
    first.fit(X, Y, epochs=5, batch_size=8, seed=1, verbose=0)
    first.save(tmp_path / "run")
    rv.rand(10)  # other numbers are drawn meanwhile
    second = made()
    assert second.load(tmp_path / "run") is second and second.history == first.history
    np.testing.assert_array_equal(second.predict(X), first.predict(X))
    second.fit(X, Y, epochs=8, batch_size=8, resume=True, verbose=0)
    assert numbers(second) == numbers(whole) and second.history.epoch == list(range(8))
    assert numbers(second) == numbers(second) and second.fit(X, Y, 8, 8, resume=True, verbose=0) == whole.history
    for again in (first,):
        again.load_state_dict(first.state_dict())
        assert again.history.epoch == list(range(5))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_goes_its_own_way(copied):
    first = made()
    first.fit(X, Y, epochs=2, batch_size=8, seed=1, verbose=0)
    first.predict(X)
    twin, before = copied(first), numbers(first)
    state = rv.random.default_generator.get_state()
    twin.fit(X, Y, epochs=4, batch_size=8, resume=True, verbose=0)
    assert numbers(first) == before and numbers(twin) != before
    assert not np.array_equal(first.predict(X), twin.predict(X))
    rv.random.default_generator.set_state(state)
    first.fit(X, Y, epochs=4, batch_size=8, resume=True, verbose=0)
    whole = made()
    whole.fit(X, Y, epochs=4, batch_size=8, seed=1, verbose=0)
    assert numbers(first) == numbers(twin) == numbers(whole)


def test_after_ctrl_c_the_cut_epoch_begins_again():
    trainer = made()

    def press(batch, logs):
        if len(trainer.history.epoch) == 2 and batch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    hook = LambdaCallback(on_batch_end=press)
    with pytest.raises(KeyboardInterrupt, match="epoch 3 of 5.*resume=True"):
        trainer.fit(X, Y, epochs=5, batch_size=8, callbacks=[hook], verbose=0)
    assert len(trainer.history.epoch) == 3
    history = trainer.fit(X, Y, epochs=5, batch_size=8, callbacks=[LambdaCallback()], resume=True, verbose=0)
    assert history.epoch == [0, 1, 2, 3, 4] and not history.interrupted and len(history["loss"]) == 5


def test_a_run_that_was_stopped_stays_so(tmp_path):
    trainer = made()
    stop = EarlyStopping("loss", patience=1, min_delta=10.0)
    trainer.fit(X, Y, epochs=9, callbacks=[stop, ModelCheckpoint(tmp_path / "run", save_weights_only=False)], verbose=0)
    assert len(trainer.history.epoch) == 2
    again = made()
    hooks = [
        EarlyStopping("loss", patience=1, min_delta=10.0),
        ModelCheckpoint(tmp_path / "x", save_weights_only=False),
    ]
    again.fit(X, Y, epochs=9, callbacks=hooks, resume=tmp_path / "run", verbose=0)
    assert numbers(again) == numbers(trainer)


def test_tables_in_a_history_come_back(tmp_path):
    rv.manual_seed(0)
    labels = (X[:, 0] > 0) * 1
    trainer = Trainer(nn.Linear(4, 2), "cross_entropy", metrics=["confusion_matrix"])
    trainer.fit(X, labels, epochs=2, verbose=0)
    trainer.save(tmp_path / "run")
    other = Trainer(nn.Linear(4, 2), "cross_entropy", metrics=["confusion_matrix"]).load(tmp_path / "run")
    for ours, theirs in zip(other.history["confusion_matrix"], trainer.history["confusion_matrix"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_resumed_is_said(tmp_path):
    trainer = made()
    with pytest.raises(ValueError, match="no run to go on with"):
        trainer.fit(X, Y, resume=True, verbose=0)
    trainer.fit(X, Y, epochs=2, seed=1, verbose=0)
    trainer.save(tmp_path / "run")
    trainer.model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="seed=1, not 2"):
        trainer.fit(X, Y, epochs=3, resume=True, seed=2, verbose=0)
    with pytest.raises(
        ValueError, match=r"callbacks of the run that it goes on with, \[\], but has \['EarlyStopping'\]"
    ):
        trainer.fit(X, Y, epochs=3, resume=True, callbacks=[EarlyStopping("loss")], verbose=0)
    with pytest.raises(ValueError, match="not the state of a Trainer"):
        trainer.load(tmp_path / "model")
    with pytest.raises(RuntimeError):
        Trainer(nn.Linear(4, 1), "mse").load(tmp_path / "run")


def test_repr():
    trainer = made()
    trainer.fit(X, Y, epochs=2, verbose=0)
    assert repr(trainer) == (
        "Trainer(Sequential of 49 parameters, loss=MSELoss(), optimizer=Adam(lr=0.05), metrics=[mae, r2], 2 epochs trained)"
    )
