"""What type checkers and editors see: a user's script, every public name, the types of results."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import data, nn, optim, train

SCRIPT = Path(__file__).parent / "support" / "typed_script.py"
ROOT = Path(rv.__file__).parents[1]

x, array, w = rv.ones(2, 2), np.ones((2, 2)), rv.ones(2, requires_grad=True)
REVEALED = {
    "Tensor": [
        "rv.sum(x)", "x + x", "x.mean()", "F.relu(x)", "rv.exp(x).T", "1.0 - x", "x / array", "x == x", "x[0]", "-x",
        "x.max()", "x.max(axis=0).values", "rv.median(x, 1).indices", "rv.sum(x, axis=0, keepdims=True)", "x.add_(1)",
        "x.unsqueeze(axis=0)", "x.permute(dims=(1, 0))", "rv.where(x > 0, x, 0.0)", "rv.cat([x, x])", "rv.nonzero(x)",
        "F.mse_loss(x, x)", "x.float()", "rv.rand(3)", "rv.split(x, 1)[0]", "rv.zeros_like(array)", "x.sigmoid().bernoulli()",
        "rv.einsum('ij,jk', x, x)", "rv.max(x, x)", "rv.tensor([1])", "nn.Linear(2, 2)(x)", "rv.compile(F.gelu)(x)",
        "rv.std_mean(x)[0]", "rv.reshape(x, shape=(4,))", "rv.unique(x)", "x.detach()", "nn.MSELoss()(x, x)",
        "next(iter(x))", "x.mT", "rv.autograd.grad(w.sum(), w)[0]",
    ],
    "ndarray": [
        "rv.exp(array)", "rv.add(array, 1)", "F.mse_loss(array, array)", "rv.sum(array, axis=0)", "rv.topk(array, 1).values",
        "rv.cat([array, array])", "rv.where(array > 0, array, 0.0)", "x.numpy()", "F.softmax(array, dim=0)",
    ],
    "Linear": ["nn.Linear(2, 2)", "rv.compile(nn.Linear(2, 2))"],
    "Parameter": ["nn.Linear(2, 2).weight"],
    "Adam": ["optim.Adam(nn.Linear(2, 2).parameters())"],
    "int": ["x.numel()", "x.ndim", "x.dim()", "x.size(0)", "len(x)", "x.element_size()"],
    "bool": ["rv.allclose(x, x)", "x.is_contiguous()", "x.is_floating_point()", "x.requires_grad", "x.equal(x)"],
}  # fmt: skip
HEAD = """import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import data, nn, optim, train
x, array, w = rv.ones(2, 2), np.ones((2, 2)), rv.ones(2, requires_grad=True)
"""
ERRORS = ["rv.exp([1.0])", "rv.nothing", "x.nothing()", "x + 'text'", "rv.sum(x, ax=0)", "rv.compile(F.relu)(x, 1, 2)"]
SPACES = {
    "rv": rv, "F": F, "nn": nn, "optim": optim, "train": train, "data": data,
    "optim.lr_scheduler": optim.lr_scheduler, "rv.autograd": rv.autograd, "x": x,
}  # fmt: skip
INTERNAL = {"rv.annotations", "rv.Any", "rv.TYPE_CHECKING"}
MODULES = [
    "rv.autograd",
    "rv.config",
    "rv.errors",
    "rv.ops",
    "rv.random",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "train.metrics",
]


def public_names() -> list[str]:
    names = []
    for space, module in SPACES.items():
        found = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
        names += [f"{space}.{name}" for name in found if not isinstance(getattr(module, name), ModuleType)]
    return [*(n for n in names if n not in INTERNAL), *(f"rv.{m}" for m in rv._LAZY_MODULES), *MODULES]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A folder with what is checked: the script, all names, results, and lines that are wrong."""
    folder = tmp_path_factory.mktemp("typed")
    shutil.copy(SCRIPT, folder / "script.py")
    (folder / "names.py").write_text(HEAD + "\n".join(public_names()) + "\n")
    (folder / "results.py").write_text(HEAD + "".join(f"reveal_type({e})\n" for es in REVEALED.values() for e in es))
    (folder / "errors.py").write_text(HEAD + "\n".join(ERRORS) + "\n")
    return folder


@pytest.fixture(scope="module")
def mypy(checked):
    pytest.importorskip("mypy")
    path = "" if ROOT.name == "site-packages" else str(ROOT)
    command = f"{sys.executable} -m mypy --strict --config-file= --follow-imports=silent --cache-dir=cache ."
    result = subprocess.run(
        command.split(), env={**os.environ, "MYPYPATH": path}, capture_output=True, text=True, cwd=checked
    )
    assert result.returncode == 1 and not result.stderr, result.stderr  # errors.py has errors
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def pyright(checked):
    program = shutil.which("pyright")
    if program is None:
        pytest.skip("pyright is not installed")
    (checked / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"], "reportUnusedExpression": false}}')
    command = [program, "--pythonpath", sys.executable, "-p", "."]
    result = subprocess.run(command, capture_output=True, text=True, cwd=checked)
    assert "results.py" in result.stdout, result.stdout + result.stderr
    return [line.strip() for line in result.stdout.splitlines()]


@pytest.fixture(params=["mypy", "pyright"])
def report(request):
    return request.getfixturevalue(request.param)


def of(report: list[str], name: str) -> list[str]:
    return [line for line in report if f"{name}.py:" in line]


@pytest.mark.parametrize("name", ["script", "names"])
def test_no_errors(report, name):
    assert not of(report, name)


def test_results(report):
    """Each expression is seen as what it is."""
    revealed = of(report, "results")
    expected = [(e, name) for name, es in REVEALED.items() for e in es]
    assert len(revealed) == len(expected), revealed
    wrong = [
        f"{e}: {line}" for (e, name), line in zip(expected, revealed)
        if not re.search(rf'(type is|is) "([\w.]+\.)?{name}[\["]', line)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_results_do_not_lie():
    for name, expressions in REVEALED.items():
        for e in expressions:
            value = eval(e)
            assert name in [kind.__name__ for kind in type(value).__mro__] or name == "Linear", f"{e}: {type(value)}"


def test_wrong_lines_are_found(report):
    lines = {re.search(r"errors\.py:(\d+)", line).group(1) for line in of(report, "errors") if "error" in line}
    assert len(lines) == len(ERRORS), of(report, "errors")


def test_the_script_runs(capsys):
    runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.mark.skipif(not hasattr(typing, "get_overloads"), reason="the stubs are made with Python 3.11 or later")
def test_stubs_are_up_to_date():
    import stubs

    for path, make in stubs.STUBS.items():
        assert path.read_text() == make(), f"{path.name} is out of date: python tests/support/stubs.py"
