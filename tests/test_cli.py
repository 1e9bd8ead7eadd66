"""The command line, and the examples."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranvier
from ranvier import cli

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert ranvier.__version__ in out and "backend" in out and "threads" in out


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "ranvier", "info"], capture_output=True, text=True)
    assert done.returncode == 0 and ranvier.__version__ in done.stdout


def test_version_and_mistakes(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0 and ranvier.__version__ in capsys.readouterr().out
    for arguments, message in [
        ([], "command"),
        (["bake"], "invalid choice"),
        (["demo", "--epochs", "0"], "at least 1"),
    ]:
        with pytest.raises(SystemExit) as done:
            cli.main(arguments)
        assert done.value.code == 2 and message in capsys.readouterr().err


def test_demo_learns_and_saves(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["demo", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    shares = [float(s) for s in re.findall(r"([\d.]+)%", out)]
    assert len(shares) == 2 and min(shares) >= 97.0 and abs(shares[0] - shares[1]) < 1.5
    assert "times as fast" in out
    assert (tmp_path / "ranvier-digits.png").read_bytes()[:4] == b"\x89PNG"
    assert "0.weight" in ranvier.load(tmp_path / "ranvier-digits.safetensors")


def test_demo_names_what_is_wrong(tmp_path, capsys, monkeypatch):
    assert cli.main(["demo", "--output", str(tmp_path / "nowhere")]) == 1
    assert "is not a folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert cli.main(["demo", "--output", str(tmp_path)]) == 1
    assert "pip install ranvier[demo]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["xor_numpy", "xor_pytorch_style", "regression_trainer", "digits", "speech", "time_series", "scale", "tied"]
)
def test_examples_run(name):
    done = subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def pictures(folder):
    """A folder of images, one folder for each class."""
    Image = pytest.importorskip("PIL.Image")
    for label in range(2):
        (folder / f"class{label}").mkdir()
        for i in range(10):
            pixels = np.random.default_rng((label, i)).integers(0, 256, (40, 36, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{i}.png")


def cifar10(folder):
    """CIFAR-10's files, of few images."""
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        records = np.random.default_rng(0).integers(0, 256, (26, 3073), np.uint8)
        records[:, 0] = np.arange(26) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())


@pytest.mark.parametrize(
    "name, data, options",
    [
        ("cifar10", cifar10, "--epochs 1 --model residual --loop"),
        ("images224", pictures, "--model resnet18 --size 32 --epochs 1 --width 4"),
    ],
)
def test_examples_of_images(name, data, options, tmp_path):
    """They read the publisher's files, draw their losses and keep the model."""
    pytest.importorskip("matplotlib")
    (tmp_path / "data").mkdir()
    data(tmp_path / "data")
    plot, save = tmp_path / "losses.png", tmp_path / "model.safetensors"
    files = ["--data", str(tmp_path / "data"), "--plot", str(plot), "--save", str(save)]
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *options.split(), *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test accuracy" in done.stdout
    assert plot.read_bytes()[:4] == b"\x89PNG" and ranvier.load(save)
