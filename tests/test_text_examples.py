"""The examples that learn from text: they run, save and go on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import ranvier as rv

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *options: str) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py"), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_char_gpt(tmp_path):
    pytest.importorskip("matplotlib")
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    options = [
        "--text",
        str(text),
        "--width",
        "32",
        "--length",
        "32",
        "--save",
        str(tmp_path / "gpt"),
        "--letters",
        "40",
    ]
    losses = []
    for epochs, more in ((1, []), (2, ["--resume"])):
        out = run("char_gpt", "--epochs", str(epochs), *options, *more)
        losses.append(float(re.search(r"validation loss ([\d.]+)", out)[1]))
        assert "The " in out
    assert losses[1] < losses[0]
    assert (tmp_path / "gpt.png").read_bytes()[:4] == b"\x89PNG"


def test_bert_masked(tmp_path):
    file = tmp_path / "encoder.safetensors"
    options = ["--steps", "40", "--tuning", "8", "--layers", "1", "--width", "32", "--save", str(file)]
    out = run("bert_masked", *options)
    assert len(re.findall(r"accuracy [\d.]+%", out)) == 2 and "letter.weight" in rv.load(file)
