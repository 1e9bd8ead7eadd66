"""What everything besides arithmetic costs: eager ops, imports, the first compilation, fit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from . import calls
from .peak import Peak
from .peers import jax_or_none, ranvier_model, torch_or_none
from .runner import US, Contender, Row, Settings, Target, quantile, race, repeat
from .steps import DIGITS, XOR

CHAIN = 50


def measure(settings: Settings, peak: Peak) -> list[Row]:
    return [
        *eager(settings),
        *calls.measure(settings),
        *fit(settings),
        *sharing(settings),
        first_compile(settings),
        *imports(settings),
        constant_memory(settings),
    ]


# ---------------------------------------------------------------- eager


def eager(settings: Settings) -> list[Row]:
    """Microseconds an op; peers do the same on their tensors."""
    rng = np.random.default_rng(0)
    a, x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((4,), (1, 10), (64, 10), (64,)))
    cases: dict[str, dict[str, Contender]] = {"add (4,)": {}, "linear 10-64, batch 1": {}}
    backward: dict[str, dict[str, Contender]] = {
        f"add, chain of {CHAIN}": {},
        "add, alone": {},
        "linear 10-64, batch 1": {},
    }
    for name, lib, make in libraries(settings):
        ta, tx, tw, tb = map(make, (a, x, w, b))
        linear = lib.nn.functional.linear
        cases["add (4,)"][name] = repeat(lambda ta=ta: ta + ta)
        cases["linear 10-64, batch 1"][name] = repeat(lambda f=linear, args=(tx, tw, tb): f(*args))
        leaf, seed, wg, bg = make(a), make(np.ones(4, np.float32)), make(w), make(b)
        ones = make(np.ones((1, 64), np.float32))
        for t in (leaf, wg, bg):
            t.requires_grad_()

        def chain(leaf: Any = leaf, other: Any = ta, seed: Any = seed) -> None:
            z = leaf
            for _ in range(CHAIN):
                z = z + other
            leaf.grad = None
            z.backward(seed)

        def alone(leaf: Any = leaf, other: Any = ta, seed: Any = seed) -> None:
            leaf.grad = None
            (leaf + other).backward(seed)

        def layer(x: Any = tx, w: Any = wg, b: Any = bg, seed: Any = ones, f: Any = linear) -> None:
            w.grad = b.grad = None
            f(x, w, b).backward(seed)

        for case, work in zip(backward, (chain, alone, layer)):
            backward[case][name] = repeat(work)
    jax = jax_or_none()
    if jax is not None:
        ja = jax.numpy.asarray(a)
        cases["add (4,)"]["jax"] = repeat(lambda: ja + ja)
    rows = []
    for case, contenders in cases.items():
        values = {k: s * 1e6 for k, s in race(contenders, settings).items()}
        rows.append(Row("eager, an op forward", case, "us", values, targets=[Target(2)]))
    for case, contenders in backward.items():
        ops = CHAIN if "chain" in case else 1
        values = {k: s * 1e6 / ops for k, s in race(contenders, settings).items()}
        rows.append(
            Row("eager, an op forward and backward", case, "us", values, targets=[Target(4)] if ops > 1 else [])
        )
    return rows


def libraries(settings: Settings) -> list[tuple[str, Any, Any]]:
    import ranvier as rv
    from ranvier import nn  # noqa: F401  (rv.nn below)

    found = [(US, rv, rv.from_numpy)]
    torch = torch_or_none(settings)
    if torch is not None:
        found.append(("torch", torch, torch.from_numpy))
    return found


# ---------------------------------------------------------------- fit, compile


def fit(settings: Settings) -> list[Row]:
    """Steps a second of Trainer.fit with batches of 4, and of the loops that peers' users write."""
    import ranvier as rv

    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    truth = np.array([[0], [1], [1], [0]], np.float32)
    rows = []
    for case, times, epochs in (("XOR, 4 rows, many epochs", 1, 2000), ("XOR, 4000 rows", 1000, 4)):
        x, y = np.tile(corners, (times, 1)), np.tile(truth, (times, 1))
        trainer = rv.train.Trainer(ranvier_model(XOR), "mse", "adam", lr=1e-3)
        fit_once = lambda: trainer.fit(x, y, epochs=epochs, batch_size=4, verbose=0)  # noqa: B023, E731
        contenders = {US: repeat(fit_once)}
        try:
            from sklearn.neural_network import MLPRegressor
        except ImportError:
            pass
        else:
            import warnings

            warnings.filterwarnings("ignore", module="sklearn")
            few = max(1, epochs // 20)  # it is slow; the rate is what counts
            estimator = MLPRegressor(
                hidden_layer_sizes=(4,), activation="tanh", batch_size=4, max_iter=few, tol=0, n_iter_no_change=few + 1
            )
            contenders["sklearn"] = repeat(lambda: estimator.fit(x, y.ravel()))  # noqa: B023
        seconds = race(contenders, settings)
        steps = {US: epochs * times, "sklearn": max(1, epochs // 20) * times}
        values = {name: steps[name] / s for name, s in seconds.items()}
        rows.append(Row("fit", case, "steps/s", values, rate=True, targets=[Target(100_000)]))
    return rows


def sharing(settings: Settings) -> list[Row]:
    """Training steps of narrow nets on all threads and on one: more threads must not cost, and soon bring something."""
    if settings.threads < 2:
        return []
    import ranvier as rv
    import ranvier.nn.functional as F
    from ranvier import nn, optim

    rows = []
    for width in (32, 46, 64, 96, 128, 192, 256):
        model = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        )
        optimizer = optim.Adam(model.parameters())
        x, y = rv.randn(32, width), rv.tensor(np.arange(32) % 10)

        @rv.compile
        def step(model: Any = model, optimizer: Any = optimizer, x: Any = x, y: Any = y) -> Any:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        def on(threads: int, step: Any = step) -> Contender:
            def run(times: int) -> None:
                rv.set_num_threads(threads)
                for _ in range(times):
                    step()

            return run

        seconds = race({US: on(settings.threads), "one thread": on(1)}, settings)
        values = {name: s * 1e6 for name, s in seconds.items()}
        rows.append(
            Row("sharing out", f"step, width {width}, batch 32", "us", values, targets=[Target(0.95, "one thread")])
        )
    rv.set_num_threads(settings.threads)
    return rows


def first_compile(settings: Settings) -> Row:
    """Milliseconds until a newly compiled training step has run once, in a process that has compiled others before."""
    import ranvier as rv
    import ranvier.nn.functional as F
    from ranvier import optim

    x, y = map(rv.from_numpy, DIGITS.data())
    times = []
    for _ in range(4 if settings.quick else 12):
        model = ranvier_model(DIGITS)
        optimizer = optim.Adam(model.parameters())

        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(model(x), y)  # noqa: B023
            optimizer.zero_grad()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss

        started = time.perf_counter()
        rv.compile(step)(x, y)
        times.append(time.perf_counter() - started)
    values = {US: 1e3 * quantile(times, settings.quantile)}
    return Row("first compilation", "784-128-10 step with Adam", "ms", values, targets=[Target(50)])


# ---------------------------------------------------------------- imports and memory, in processes of their own

IMPORT = """
import time, sys
def resident():
    try:
        return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
import numpy
memory, started = resident(), time.perf_counter()
{statement}
print((time.perf_counter() - started) * 1e3, resident() - memory)
"""


def imports(settings: Settings) -> list[Row]:
    """Milliseconds and megabytes that an import adds to NumPy's."""
    statements = {
        US: "import ranvier",
        f"{US} nn, optim": "import ranvier; from ranvier import nn, optim",
        "torch": "import torch",
        "jax": "import jax.numpy",
        "sklearn": "from sklearn.neural_network import MLPClassifier",
    }
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(5 if settings.quick else 12):
            for name, statement in statements.items():
                if turn and name not in found or turn > 3 and not name.startswith(US):
                    continue  # not installed, or slow and measured often enough
                command = [sys.executable, "-c", IMPORT.format(statement=statement)]
                done = subprocess.run(command, env=env, capture_output=True, text=True)
                if done.returncode == 0:  # the first turn compiles to bytecode, which an installation has done
                    found.setdefault(name, []).append(tuple(map(float, done.stdout.split())))
    return [
        Row("import, beyond NumPy", what, unit,
            {name: quantile([v[i] for v in values[1:]], settings.quantile) for name, values in found.items()}, targets=[Target(limit)])
        for i, (what, unit, limit) in enumerate((("time", "ms", 40), ("resident memory", "MB", 15)))
    ]  # fmt: skip


MEMORY = """
import numpy as np, ranvier as rv
from ranvier import nn
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
trainer = rv.train.Trainer(nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1)), "mse", "adam")
x = np.ones((1, 10), np.float32)
for _ in range(2000): trainer.predict(x)
before = resident()
for _ in range({calls}): trainer.predict(x)
print(resident() - before)
"""


def constant_memory(settings: Settings) -> Row:
    """Megabytes that many predictions of one row add to a process."""
    calls = 20_000 if settings.quick else 1_000_000
    done = subprocess.run([sys.executable, "-c", MEMORY.format(calls=calls)], capture_output=True, text=True)
    values = {US: float(done.stdout)} if done.returncode == 0 else {}
    return Row("memory", f"growth over {calls} predictions", "MB", values, targets=[Target(1)])
