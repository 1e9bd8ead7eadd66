"""How cost grows: exponents, exact formulas, and the command line."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import ranvier as rv
from ranvier import cli, nn
from ranvier.profiling.scaling import fit, polynomial, written


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("ranvier.profiling.measure._SECONDS", 0.01)


class Attending(nn.Module):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Scores(nn.Module):
    """Attention that keeps all its weights."""

    def forward(self, x):
        return rv.softmax(x @ x.transpose(-2, -1), -1) @ x


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(16, 16)

    def forward(self, x):
        return self.lstm(x)[0]


# what makes the model, its input, sizes, exponents of operations and of memory (None: another one)
CASES = {
    "dense width": (
        lambda width: nn.Linear(width, width), lambda width: rv.zeros(4, width), {"width": [256, 512, 1024]}, 2, 2,
    ),
    "attention length": (lambda: Attending(), lambda length: rv.zeros(1, 1, length, 8), {"length": [128, 256, 512]}, 2, None),
    "attention length, weights kept": (
        lambda: Scores(), lambda length: rv.zeros(1, length, 8), {"length": [256, 512, 1024]}, 2, 2,
    ),
    "batch": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten()), lambda batch: rv.zeros(batch, 3, 16, 16),
        {"batch": [8, 16, 32]}, 1, 1,
    ),
    "depth": (
        lambda depth: nn.Sequential(*[nn.Linear(64, 64) for _ in range(depth)]), lambda: rv.zeros(8, 64),
        {"depth": [4, 8, 16]}, 1, 1,
    ),
    "recurrent length": (lambda: Recurrent(), lambda length: rv.zeros(length, 8, 16), {"length": [32, 64, 128]}, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_exponents_are_those_of_theory(name):
    make, make_input, over, of_flops, of_memory = CASES[name]
    if name == "recurrent length" and not hasattr(nn, "LSTM"):
        pytest.skip("there is no LSTM")
    found = rv.growth(make, make_input, over, measure=False)
    (axis,) = over
    assert found.exponents[axis]["flops"].exponent == pytest.approx(of_flops, abs=0.1)
    memory = found.exponents[axis]["memory"]
    if memory is not None and of_memory is not None:
        assert memory.last == pytest.approx(of_memory, abs=0.1)


def test_growth_is_shown(tmp_path):
    found = rv.growth(
        lambda width, depth=2: nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)]),
        lambda width, batch: (rv.zeros(batch, width),),
        over={"width": [16, 32, 64], "batch": [2, 4, 8], "depth": [1, 2, 3]},
    )
    assert found.sizes["width"] == [16, 32, 64] and found.reports["batch"][1].layers["0"]["output_shape"] == (4, 16)
    assert found.formulas["batch"] == {"parameters": "544", "flops": "1056 batch"}
    assert found.formulas["depth"]["flops"] == "1056 depth"  # batch is at its first size, 2, and width at 16
    text = str(found)
    for word in ("flops, predicted", "time, measured", "width^1.9", "flops = 1056 batch"):
        assert word in text
    stored = json.loads(found.to_json(tmp_path / "g.json"))
    assert stored["exponents"]["batch"]["flops"]["exponent"] == pytest.approx(1) and (tmp_path / "g.json").exists()
    assert "width: FLOPs ^1.9" in repr(found)


def test_growth_is_drawn(tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    found = rv.growth(lambda: nn.Linear(4, 4), lambda batch: rv.zeros(batch, 4), {"batch": [1, 2, 4]})
    found.plot(tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes()[:4] == b"\x89PNG"


def test_bad_input_is_named():
    def model():
        return nn.Linear(4, 4)

    with pytest.raises(ValueError, match="neither make_model nor make_input takes 'length'"):
        rv.growth(model, lambda batch: rv.zeros(batch, 4), {"length": [1, 2]})
    for sizes in ([1], [2, 1], [0, 1]):
        with pytest.raises(ValueError, match="positive sizes that increase"):
            rv.growth(model, lambda batch: rv.zeros(batch, 4), {"batch": sizes})
    with pytest.raises(TypeError, match="must be a function"):
        rv.growth(nn.Linear(4, 4).weight, lambda batch: rv.zeros(batch, 4), {"batch": [1, 2]})


def test_fits():
    x = [1, 2, 4, 8]
    exact = fit(x, [3 * v**2 for v in x])
    assert exact.exponent == pytest.approx(2) and exact.low == pytest.approx(2) and exact.high == pytest.approx(2)
    noisy = fit(x, [1, 2.2, 3.8, 8.1])
    # slope and its standard error times 4.303, by numpy.polyfit with its covariance
    (slope, _), covariance = np.polyfit(np.log(x), np.log([1, 2.2, 3.8, 8.1]), 1, cov=True)
    assert noisy.exponent == pytest.approx(slope)
    assert noisy.high - noisy.exponent == pytest.approx(4.303 * math.sqrt(covariance[0, 0]), rel=1e-6)
    assert fit([1, 2], [1, 2]).high == math.inf and fit(x, [1, None, 2, 3]) is None and fit(x, [0, 1, 2, 3]) is None


def test_counts_as_polynomials():
    x = [1, 2, 3, 5, 8]
    assert polynomial(x, [2 * v**3 + v for v in x]) == [0, 1, 0, 2]
    assert polynomial(x, [v**4 for v in x]) is None and polynomial([1, 2], [3, 5]) is None
    assert written([Fraction(0), Fraction(1), Fraction(0), Fraction(2)], "n") == "2 n^3 + n"
    assert written([Fraction(-3), Fraction(1, 2)], "n") == "1/2 n - 3" and written([Fraction(0)], "n") == "0"


# ---------------------------------------------------------------- the command line

MODELS = """
from ranvier import nn

def mlp(width=16):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))

def tokens():
    return nn.Embedding(20, 4)

ready = mlp()
number = 3
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "ranvier_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_command(models, capsys):
    assert cli.main(["profile", "ranvier_models:mlp", "--input", "4x8", "--html", str(models / "r.html")]) == 0
    assert "0 (Linear)" in capsys.readouterr().out and "<svg" in (models / "r.html").read_text()
    assert cli.main(["profile", "ranvier_models:ready", "--input", "4x8", "--optimizer", "sgd", "--count"]) == 0
    assert "FLOPs optimizer" in capsys.readouterr().out
    assert cli.main(["profile", "ranvier_models:tokens", "--input", "2x5:int64", "--json", str(models / "r.json")]) == 0
    assert json.loads((models / "r.json").read_text())["totals"]["parameters"] == 80
    capsys.readouterr()
    assert (
        cli.main(
            ["profile", "ranvier_models:mlp", "--input", "4x8", "--growth", "batch", "--growth", "width", "--count"]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "batch^1.00" in out and "width = " not in out and "flops = " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ranvier_models"], "must be module:factory"),
        (["ranvier_models:nothing"], "has no 'nothing'"),
        (["ranvier_models:number"], "is a int"),
        (["nowhere_at_all:f"], "nowhere_at_all"),
        (["ranvier_models:mlp", "--growth", "height"], "neither batch nor length"),
        (["ranvier_models:mlp", "--growth", "length", "--html", "x.html"], "does not go with --growth"),
    ],
)
def test_mistakes_are_named(models, capsys, arguments, message):
    assert cli.main(["profile", *arguments, "--input", "4x8"]) == 1
    assert message in capsys.readouterr().err


def test_sizes_are_checked(models, capsys):
    for text in ("4y8", "4x8:int7"):
        with pytest.raises(SystemExit):
            cli.main(["profile", "ranvier_models:mlp", "--input", text])
        assert text.split(":")[0] in capsys.readouterr().err or "int7" in text
