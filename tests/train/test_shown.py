"""What a run shows: lines, a bar, pictures of its history."""

import re
import sys
import time
import types

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.train import History, Trainer

random = np.random.default_rng(0)
X = random.normal(size=(50, 4)).astype(np.float32)
Y = X[:, :1].copy()
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)


def mlp(outputs=1):
    rv.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs))


def test_lines_and_silence(capsys):
    trainer = Trainer(mlp(), "mse", metrics=["mae"])
    trainer.fit(X, Y, epochs=2, verbose=0)
    assert capsys.readouterr() == ("", "")
    trainer.fit(X, Y, epochs=2, verbose=1)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[0].startswith("epoch 1/2") and "loss" in out[0] and "mae" in out[0]


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    Trainer(mlp(), "mse").fit(X, Y, epochs=3, verbose=1)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 3/3" in err and "loss" in err
    assert (
        len({line.count("|") and line.index("|", line.index("|") + 1) for line in err.split("\r") if "|" in line}) == 1
    )


class Slow(nn.Module):
    """Takes long enough for the bar to be drawn within an epoch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        time.sleep(0.07)
        return self.layer(x)


def test_epochs_are_whole_numbers_beside_the_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    Trainer(Slow(), "mse", compile=False).fit(X, Y, batch_size=13, verbose=1, epochs=2)
    err = capsys.readouterr().err
    assert "epoch 1/2 |" in err and "epoch 2/2 |" in err
    assert not re.search(r"\d\.\d+/", err)


def test_tables_among_the_metrics_are_left_out_of_texts(capsys):
    trainer = Trainer(mlp(3), "cross_entropy", metrics=["confusion_matrix", "acc"])
    history = trainer.fit(X, LABELS, epochs=2, verbose=2)
    out = capsys.readouterr().out
    assert "acc 0." in out and "confusion" not in out and "confusion" not in repr(history) and "acc=" in repr(history)
    assert history["confusion_matrix"][1].sum() == 50


def test_a_notebook_has_a_bar(monkeypatch, capsys):
    shell = types.SimpleNamespace(kernel=1)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    Trainer(mlp(), "mse").fit(X, Y, epochs=2, verbose=1)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 2/2" in err


def test_history_plots(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    history = History()
    for epoch in range(3):
        history.append(epoch, {"loss": 1.0 / (epoch + 1), "val_loss": 2.0, "accuracy": 0.5})
        history["confusion_matrix"] = [np.eye(2)] * (epoch + 1)
    history.plot(path=tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes()[:4] == b"\x89PNG"
    for wrong in (["speed"], "confusion_matrix"):
        with pytest.raises(KeyError, match="must be among the numbers accuracy, loss, val_loss"):
            history.plot(wrong)
    assert pyplot.get_fignums() == []  # a file is no figure on the screen
    axes = history.plot("loss")
    assert [line.get_label() for line in axes.lines] == ["loss"]
    assert pyplot.get_fignums() and axes.figure is pyplot.gcf()  # plt.show() draws it
    assert len(history.plot()) == 2
    pyplot.close("all")


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    history = History()
    history.append(0, {"loss": 1.0})
    with pytest.raises(ImportError, match=r"pip install ranvier\[plot\]"):
        history.plot()


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
        self.a.weight.requires_grad_(False)

    def forward(self, x, y):
        return self.a(x), self.b(y)


def test_summary(capsys):
    model = Both()
    rv.manual_seed(3)
    found = rv.summary(model, [(2, 4), (5, 4)])
    out = capsys.readouterr().out
    assert str(found) + "\n" == out and "2 trainable" not in out and "30 parameters, 18 trainable, 12 frozen" in out
    assert found.layers == [
        ("", "Both", [(2, 3), (5, 3)], 0), ("a", "Linear", (2, 3), 15), ("b", "Sequential", (5, 3), 0),
        ("b.0", "Linear", (5, 3), 15), ("b.1", "Dropout", (5, 3), 0),
    ]  # fmt: skip
    assert repr(found) == "Summary(30 parameters, 18 trainable)" and "    1 (Dropout)" in out
    assert model.training and not model._hooks and rv.random.default_generator.get_state().tolist() == [3, 0]
    by_data = rv.summary(model, input_data=(X[:2], rv.tensor(X[:5])), verbose=0)
    assert by_data.layers == found.layers and capsys.readouterr().out == ""
    assert rv.summary(mlp(), verbose=0).layers[1] == ("0", "Linear", None, 40)
    with pytest.raises(rv.ShapeError, match="linear"):
        rv.summary(mlp(), (1, 7))
    with pytest.raises(ValueError, match="not both"):
        rv.summary(mlp(), (1, 4), input_data=X)
    with pytest.raises(TypeError, match="nn.Module"):
        rv.summary(3)
