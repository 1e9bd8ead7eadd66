"""Scripts that import torch run over Ranvier, and what is missing is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranvier
import ranvier as rv
from ranvier import cli
from ranvier.torch import checking, doors

SCRIPT = """
import argparse
import torch
import torch.nn as nn
import torch.nn.functional
import torch.optim as optim, os
from torch import tensor as make
from torch.utils.data import DataLoader as Loader, TensorDataset
from helpers.net import Net

if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--steps", type=int)
    steps = options.parse_args().steps
    torch.manual_seed(1)
    x = torch.rand(32, 4)
    y = x.sum(1, keepdim=True)
    model = Net(4)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for step in range(steps):
        for a, b in Loader(TensorDataset(x, y), batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(a), b)
            loss.backward()
            optimizer.step()
    print("loss", loss.item(), make([1.5]), __file__)
"""
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n):
        super(Net, self).__init__()
        self.layers = nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "net.py").write_text(NET)
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    places = [str(Path(ranvier.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def test_script_runs(script: Path) -> None:
    done = run("-m", "ranvier.torch", "train.py", "--steps", "40", cwd=script.parent)
    assert done.returncode == 0, done.stderr
    name, loss, number, file = done.stdout.split()
    assert (name, number, file) == ("loss", "tensor([1.5000])", "train.py") and float(loss) < 0.05


def test_same_as_pytorch(script: Path, torch: Any) -> None:
    ours = run("-m", "ranvier.torch", "train.py", "--steps", "3", cwd=script.parent)
    theirs = run("train.py", "--steps", "3", cwd=script.parent)
    assert float(ours.stdout.split()[1]) == pytest.approx(float(theirs.stdout.split()[1]), rel=1e-4)


def test_libraries_see_what_is_installed(script: Path) -> None:
    script.write_text("import torch, sys\nprint('torch' in sys.modules, torch.__name__)\n")
    done = run("-m", "ranvier.torch", "train.py", cwd=script.parent)
    assert done.stdout.split() == ["False", "ranvier.torch"], done.stderr


def test_status_of_the_script_is_the_command_s(script: Path) -> None:
    script.write_text("import torch, sys\nsys.exit(3)\n")
    assert run("-m", "ranvier.torch", "train.py", cwd=script.parent).returncode == 3
    script.write_text("import torch\n\ntorch.nn.Linaer(1, 2)\n")
    failed = run("-m", "ranvier.torch", "train.py", cwd=script.parent)
    assert failed.returncode == 1
    assert (
        "torch.nn.Linaer is not in Ranvier (line 3 of train.py); the nearest name is torch.nn.Linear" in failed.stderr
    )
    script.write_text("from torch.nn import Linear, Linaer\n")
    failed = run("-m", "ranvier.torch", "train.py", cwd=script.parent)
    assert failed.returncode == 1 and "torch.nn.Linaer is not in Ranvier" in failed.stderr


def test_missing_names(door: Any) -> None:
    for base in (AttributeError, NotImplementedError):
        with pytest.raises(base, match=r"torch\.optim\.Adamm is not in Ranvier .*nearest name is torch\.optim\.Adam;"):
            _ = door.optim.Adamm
    assert not hasattr(door, "quantize_per_tensor") and hasattr(door, "tensor")
    with pytest.raises(ImportError):
        exec("from ranvier.torch.nn import Linaer")
    with pytest.raises(AttributeError, match="__wrapped__"):
        _ = door.__wrapped__


def test_every_door_opens(door: Any) -> None:
    for path in doors.DOORS:
        module = sys.modules[doors.module_name(path)]
        assert module is door or module.__name__ == doors.module_name(path)
        assert list(doors.homes(path)), path
        for name in sorted(doors.names(path)):
            if not name.startswith("_"):
                getattr(module, name)
    assert door.nn.modules.conv.Conv2d is ranvier.nn.Conv2d is door.nn.Conv2d
    assert {"nn", "Tensor", "as_pytorch"} <= set(dir(door))


def test_switches_reach_their_home(door: Any) -> None:
    before = rv.backends.cudnn.benchmark
    door.backends.cudnn.benchmark = not before
    assert rv.backends.cudnn.benchmark is not before
    rv.backends.cudnn.benchmark = before


def test_check(script: Path, capsys: pytest.CaptureFixture) -> None:
    assert checking.report(str(script)) == 0
    assert "0 of them missing" in capsys.readouterr().out
    (script.parent / "helpers" / "net.py").write_text(NET + "\nlayer = nn.Linaer\nx = torch.Tensor.no_such\n")
    assert checking.report(str(script)) == 1
    shown = capsys.readouterr().out
    assert "1 of them missing" in shown and "net.py:13: torch.nn.Linaer is not in Ranvier" in shown
    with pytest.raises(SystemExit, match="1"):
        cli.main(["torch", "--check", str(script)])


def test_install(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("torch", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    door.install()
    try:
        import torch
        from torch.nn.functional import relu

        assert torch is door and relu is rv.nn.functional.relu
    finally:
        door.uninstall()
    assert "torch" not in sys.modules
    monkeypatch.setitem(sys.modules, "torch", os)
    with pytest.raises(RuntimeError, match="torch is imported already"):
        door.install()
    door.uninstall()
    assert sys.modules["torch"] is os


def test_old_names(door: Any) -> None:
    assert door.nn.init.constant is rv.nn.init.constant_
    assert door.nn.utils.clip_grad_norm is rv.nn.utils.clip_grad_norm_
    assert {"float16": door.float16, "float32": door.float32}["float16"] == "float16"
    with pytest.raises(rv.DTypeError):
        rv.zeros(2).to(door.bfloat16)
    door.set_default_tensor_type("torch.DoubleTensor")
    assert door.zeros(1).dtype == rv.float64
    door.set_default_tensor_type(door.FloatTensor)
    with pytest.raises(rv.BackendError, match="no GPU"):
        door.cuda.FloatTensor(2)
    model = door.nn.DataParallel(door.nn.Linear(2, 1))
    assert [*model.state_dict()] == ["module.weight", "module.bias"] and model(door.ones(3, 2)).shape == (3, 1)
    with door.amp.autocast("cpu", dtype=door.bfloat16):
        loss = model(door.ones(3, 2)).sum()
    scaler = door.cuda.amp.GradScaler()
    optimizer = door.optim.SGD(model.parameters(), lr=0.1)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    with pytest.warns(UserWarning, match="dense"):
        sparse = door.sparse_coo_tensor([[0, 1, 1], [1, 0, 0]], door.tensor([1.0, 2.0, 3.0]), (2, 2))
    assert sparse.tolist() == [[0, 1], [5, 0]] and door.spmm(sparse, door.ones(2, 1)).tolist() == [[1], [5]]
    assert door.jit.script(door.nn.Linear(2, 2))(door.ones(1, 2)).shape == (1, 2)


@pytest.mark.parametrize(
    "values, text",
    [
        ([0.25, 1.0], "tensor([0.2500, 1.0000])"), ([1.0, 2.0], "tensor([1., 2.])"), ([-1.0, 20.0], "tensor([-1., 20.])"),
        ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"), (0.3, "tensor(0.3000)"), ([], "tensor([], shape=(0,), dtype=float32)"),
        ([[0.5, float("nan")], [1.0, float("inf")]], "tensor([[0.5000,    nan],\n        [1.0000,    inf]])"), ([3], "tensor([3])"),
    ],
)  # fmt: skip
def test_print(values: Any, text: str) -> None:
    assert repr(rv.tensor(values)) == text


def test_print_options() -> None:
    rv.set_printoptions(precision=2, edgeitems=1, threshold=4)
    try:
        assert repr(rv.arange(6.0) / 4) == "tensor([0.00,  ..., 1.25])"
        rv.set_printoptions(sci_mode=True)
        assert repr(rv.tensor(0.5)) == "tensor(5.00e-01)"
    finally:
        rv.set_printoptions(profile="default")
    with pytest.raises(ValueError, match="profile='tall'"):
        rv.set_printoptions(profile="tall")
