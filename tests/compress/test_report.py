"""rv.compress.report: figures side by side, as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.compress import prune, report

X = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def model() -> nn.Module:
    rv.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))


def test_figures(tmp_path):
    before = model().train()
    after = prune(before, 0.5, X[:1])
    found = report(before, {"half": after}, (X, Y), batch=100)
    assert list(found.rows) == ["before", "half"] and found.batch == 100
    row = found.rows["before"]
    with rv.no_grad():
        right = before(rv.as_tensor(X)).numpy().argmax(1) == Y
    assert row["accuracy"] == pytest.approx(right.mean())
    before.save(tmp_path / "model.safetensors")
    assert row["bytes"] == os.path.getsize(tmp_path / "model.safetensors")
    assert row["parameters"] == 8 * 32 + 32 + 32 * 2 + 2 and row["flops"] >= 100 * 2 * (8 * 32 + 32 * 2)
    assert row["seconds"] > 0 and row["peak_bytes"] > 0 and row["energy_joules"] > 0
    assert row["energy_source"].split(":")[0] in ("measured", "estimated")
    ratios = found.ratios["half"]
    assert ratios["parameters"] == pytest.approx(354 / 178) and ratios["flops"] == pytest.approx(2, rel=0.1)
    assert before.training and ratios["accuracy"] == found.rows["half"]["accuracy"] - row["accuracy"]
    text = str(found)
    assert "100 rows at once" in text and "(1.99x)" in text and row["energy_source"] in text
    assert found.to_dict()["ratios"] == found.ratios


def test_other_measures_and_notes():
    before = model()
    quantized = rv.compress.quantize(before, None, activations="dynamic", skip="2")
    found = report(before, quantized, (X, X[:, :2]))
    assert found.rows["after"]["error"] > 0 and "after: layer '2' stays in float32" in str(found)

    def worst(outputs, targets):
        return np.abs(outputs - targets).max()

    assert report(before, quantized, (X, X[:, :2]), metric=worst).rows["after"]["worst"] > 0


def test_bad_data():
    for data in (X, (X[:0], Y[:0]), (X, Y[:5])):
        with pytest.raises(rv.DomainError, match="report"):
            report(model(), model(), data)
    with pytest.raises(TypeError, match="after"):
        report(model(), "other", (X, Y))


def test_the_example_prints_its_table():
    example = Path(__file__).parents[2] / "examples" / "compress.py"
    done = subprocess.run([sys.executable, str(example), "--epochs", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = ["before", "pruned by half", "int8", "pruned, int8", "low rank", "student"]
    assert [line[:14].rstrip() for line in done.stdout.splitlines()[1:7]] == names
