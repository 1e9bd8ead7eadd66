"""The peers, each optional: training steps and predictions of a multilayer perceptron, written as their users would."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .mlp import Mlp
from .runner import US, Contender, Settings, repeat


def environment_for(threads: int) -> dict[str, str]:
    """Environment variables that give every library `threads` threads; libraries read them when they are loaded."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    # OpenBLAS chooses its kernels and blocks by the processor, whatever else this shell asks for
    kept = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    # OpenBLAS's workers sleep after 2^24 cycles without work instead of 2^28, which is shorter than a turn's pause
    return {
        **kept,
        **dict.fromkeys(variables, str(threads)),
        "OPENBLAS_THREAD_TIMEOUT": "24",
        "JAX_PLATFORMS": "cpu",
    }


def pin(threads: int) -> None:
    """Keep this process to that many processors: JAX counts them, and knows no other limit."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]))


def torch_or_none(settings: Settings) -> Any:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(settings.threads)
    return torch


def jax_or_none() -> Any:
    try:
        import jax
    except ImportError:
        return None
    return jax


# ---------------------------------------------------------------- models


def ranvier_model(mlp: Mlp) -> Any:
    import ranvier as rv
    from ranvier import nn

    layers: list[Any] = []
    for i, (m, n) in enumerate(zip(mlp.widths, mlp.widths[1:])):
        layers += [nn.Linear(m, n)] + (
            [nn.Tanh() if mlp.activation == "tanh" else nn.ReLU()] if i < len(mlp.widths) - 2 else []
        )
    model = nn.Sequential(*layers)
    with rv.no_grad():
        for layer, (w, b) in zip((x for x in layers if isinstance(x, nn.Linear)), mlp.weights()):
            layer.weight.copy_(rv.tensor(w))
            layer.bias.copy_(rv.tensor(b))
    return model


def torch_model(torch: Any, mlp: Mlp) -> Any:
    nn = torch.nn
    layers: list[Any] = []
    for i, (m, n) in enumerate(zip(mlp.widths, mlp.widths[1:])):
        layers += [nn.Linear(m, n)] + (
            [nn.Tanh() if mlp.activation == "tanh" else nn.ReLU()] if i < len(mlp.widths) - 2 else []
        )
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for layer, (w, b) in zip((x for x in layers if isinstance(x, nn.Linear)), mlp.weights()):
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
    return model


def jax_forward(jax: Any, mlp: Mlp) -> Callable:
    act = jax.numpy.tanh if mlp.activation == "tanh" else jax.nn.relu

    def forward(params: Any, x: Any) -> Any:
        for w, b in params[:-1]:
            x = act(x @ w.T + b)
        w, b = params[-1]
        return x @ w.T + b

    return forward


# ---------------------------------------------------------------- one training step with Adam


def ranvier_step(mlp: Mlp, compiled: bool) -> Contender:
    import ranvier as rv
    import ranvier.nn.functional as F
    from ranvier import optim

    model = ranvier_model(mlp)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loss_of = F.mse_loss if mlp.loss == "mse" else F.cross_entropy
    x, y = map(rv.from_numpy, mlp.data())

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = rv.compile(step) if compiled else step
    return repeat(lambda: run(x, y))


def torch_step(torch: Any, mlp: Mlp, compiled: bool) -> Contender:
    model = torch_model(torch, mlp)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.functional.mse_loss if mlp.loss == "mse" else torch.nn.functional.cross_entropy
    x, y = map(torch.from_numpy, mlp.data())

    def forward(x: Any, y: Any) -> Any:
        return loss_of(model(x), y)

    forward = torch.compile(forward) if compiled else forward

    def step() -> None:
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    if compiled:
        step()  # so that a compiler that does not work is found out here
    return repeat(step)


def jax_step(jax: Any, mlp: Mlp) -> Contender:
    """The whole step, Adam included, as one jitted function that may reuse its arguments' memory."""
    from functools import partial

    jnp = jax.numpy
    forward = jax_forward(jax, mlp)
    x, y = map(jnp.asarray, mlp.data())

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        out = forward(params, x)
        if mlp.loss == "mse":
            return ((out - y) ** 2).mean()
        return -jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1).mean()

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: Any, y: Any) -> Any:
        params, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(params, x, y)
        t = t + 1
        tree = jax.tree_util.tree_map
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9**t, jnp.sqrt(1 - 0.999**t)
        params = tree(lambda p, m, v: p - 1e-3 / a * m / (jnp.sqrt(v) / b + 1e-8), params, m, v)
        return (params, m, v, t), loss

    params = [(jnp.asarray(w), jnp.asarray(b)) for w, b in mlp.weights()]
    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    state = [(params, zeros, jax.tree_util.tree_map(jnp.zeros_like, params), jnp.zeros(()))]

    def run(times: int) -> None:  # steps may be queued; only the last is waited for
        current = state[0]
        for _ in range(times):
            current, loss = step(current, x, y)
        loss.block_until_ready()
        state[0] = current

    return run


def sklearn_step(mlp: Mlp) -> Contender:
    """One partial_fit on a batch: a step of scikit-learn's own Adam."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y = mlp.data()
    kind = MLPRegressor if mlp.loss == "mse" else MLPClassifier
    model = kind(hidden_layer_sizes=mlp.widths[1:-1], activation=mlp.activation, batch_size=mlp.batch, alpha=0.0)
    if mlp.loss == "mse":
        target = y.ravel() if y.shape[1] == 1 else y
        return repeat(lambda: model.partial_fit(x, target))
    classes = np.arange(mlp.widths[-1])
    return repeat(lambda: model.partial_fit(x, y, classes=classes))


def steps(mlp: Mlp, settings: Settings) -> dict[str, Contender]:
    """Every contender that is installed, for one training step."""
    result = {US: ranvier_step(mlp, True), f"{US} eager": ranvier_step(mlp, False)}
    torch, jax = torch_or_none(settings), jax_or_none()
    if torch is not None:
        result["torch"] = torch_step(torch, mlp, False)
        if not settings.quick:
            try:
                result["torch.compile"] = torch_step(torch, mlp, True)
            except Exception as error:  # its compiler may be missing, in many ways
                print(f"torch.compile left out: {type(error).__name__}")
    if jax is not None:
        result["jax"] = jax_step(jax, mlp)
    try:
        result["sklearn"] = sklearn_step(mlp)
    except ImportError:
        pass
    return result


# ---------------------------------------------------------------- prediction of one row


def predictions(mlp: Mlp, settings: Settings) -> dict[str, Contender]:
    """One row from array to array (torch and JAX: from their tensors to their tensors)."""
    import ranvier as rv

    x = mlp.data()[0][:1].copy()
    model = ranvier_model(mlp)
    trainer = rv.train.Trainer(model, mlp.loss, "adam")
    result = {US: repeat(lambda: trainer.predict(x))}
    weights = mlp.weights()
    act = np.tanh if mlp.activation == "tanh" else lambda z: np.maximum(z, 0)

    def by_hand() -> np.ndarray:
        z = x
        for w, b in weights[:-1]:
            z = act(z @ w.T + b)
        return z @ weights[-1][0].T + weights[-1][1]

    result["numpy"] = repeat(by_hand)
    torch, jax = torch_or_none(settings), jax_or_none()
    if torch is not None:
        theirs, tx = torch_model(torch, mlp).eval(), torch.from_numpy(x)

        def torch_run(times: int) -> None:
            with torch.inference_mode():
                for _ in range(times):
                    theirs(tx)

        result["torch"] = torch_run
    if jax is not None:
        forward = jax.jit(jax_forward(jax, mlp))
        params, jx = [(jax.numpy.asarray(w), jax.numpy.asarray(b)) for w, b in weights], jax.numpy.asarray(x)

        def jax_run(times: int) -> None:
            for _ in range(times):
                out = forward(params, jx)
            out.block_until_ready()

        result["jax"] = jax_run
    try:
        from .peer_onnx import bound, session

        network = session(mlp, settings)
        names, feed = [network.get_outputs()[0].name], {"x": x}
        result["onnxruntime, called"] = repeat(lambda: network.run(names, feed))
        result["onnxruntime, bound"] = bound(network, x)
    except ImportError:
        pass
    try:
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        return result
    estimator = MLPRegressor(hidden_layer_sizes=mlp.widths[1:-1], activation=mlp.activation)
    data, target = mlp.data()
    estimator.partial_fit(data, target.ravel() if target.shape[1] == 1 else target)
    result["sklearn"] = repeat(lambda: estimator.predict(x))
    return result
