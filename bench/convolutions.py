"""Convolutions beside PyTorch's: a sweep over shapes, each with both gradients, then whole steps and predictions of
networks of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .networks import IMAGES, prediction, training_step
from .peak import Peak
from .peers import torch_or_none
from .runner import US, Contender, Row, Settings, Target, race, repeat

# (batch, channels, image, kernels, size of a kernel, stride, groups); padded by half a kernel
SHAPES = [
    # 3 x 3, few channels to many
    (64, 1, 28, 8, 3, 1, 1), (64, 3, 32, 32, 3, 1, 1), (16, 3, 64, 16, 3, 1, 1), (4, 3, 224, 16, 3, 1, 1), (64, 16, 32, 16, 3, 1, 1),
    (32, 32, 32, 32, 3, 1, 1), (64, 32, 16, 32, 3, 1, 1), (32, 32, 16, 64, 3, 1, 1), (64, 64, 8, 64, 3, 1, 1), (8, 64, 56, 64, 3, 1, 1),
    (1, 64, 56, 64, 3, 1, 1), (8, 128, 28, 128, 3, 1, 1), (1, 128, 28, 128, 3, 1, 1), (8, 256, 14, 256, 3, 1, 1), (1, 256, 14, 256, 3, 1, 1),
    (4, 512, 7, 512, 3, 1, 1), (1, 512, 7, 512, 3, 1, 1), (2, 48, 33, 72, 3, 1, 1), (1, 16, 224, 16, 3, 1, 1), (8, 64, 32, 3, 3, 1, 1),
    # with a stride
    (64, 3, 32, 16, 3, 2, 1), (16, 3, 64, 32, 3, 2, 1), (4, 3, 224, 32, 3, 2, 1), (64, 16, 32, 32, 3, 2, 1), (64, 32, 16, 64, 3, 2, 1),
    (8, 64, 56, 128, 3, 2, 1), (4, 128, 28, 256, 3, 2, 1), (4, 256, 14, 512, 3, 2, 1),
    # 1 x 1
    (64, 16, 32, 32, 1, 1, 1), (32, 64, 28, 128, 1, 1, 1), (16, 128, 14, 256, 1, 1, 1), (8, 256, 14, 64, 1, 1, 1), (8, 64, 56, 256, 1, 1, 1),
    (1, 512, 7, 512, 1, 1, 1), (8, 512, 7, 128, 1, 1, 1), (64, 16, 32, 32, 1, 2, 1), (8, 128, 28, 256, 1, 2, 1), (1, 256, 28, 512, 1, 2, 1),
    # depthwise and in groups
    (32, 32, 32, 32, 3, 1, 32), (32, 64, 28, 64, 3, 1, 64), (32, 64, 32, 64, 3, 2, 64), (32, 128, 14, 128, 3, 1, 128),
    (32, 128, 14, 128, 3, 2, 128), (32, 256, 7, 256, 3, 1, 256), (8, 32, 112, 32, 3, 1, 32), (1, 96, 56, 96, 3, 1, 96),
    (8, 64, 28, 64, 5, 1, 64), (1, 96, 56, 96, 7, 1, 96), (16, 32, 28, 32, 3, 1, 4), (8, 128, 28, 128, 3, 1, 32), (8, 64, 28, 128, 3, 2, 2),
    # larger kernels
    (64, 1, 28, 8, 5, 1, 1), (64, 6, 14, 16, 5, 1, 1), (16, 16, 32, 32, 5, 1, 1), (4, 128, 14, 128, 5, 1, 1), (4, 3, 224, 64, 7, 2, 1),
    (1, 3, 224, 64, 7, 2, 1), (2, 3, 112, 48, 7, 1, 1), (4, 32, 28, 32, 7, 1, 1), (16, 8, 32, 8, 7, 1, 1),
]  # fmt: skip
WORK = ("forward", "gradient of x", "gradient of weights")
STEP_TARGETS = (4, 1.5, 2, 1.5)


def pair(torch: Any, shape: tuple[int, ...], dtype: str) -> dict[str, dict[str, Contender]]:
    """Contenders of each work of one convolution."""
    import ranvier as rv
    from ranvier.ops import OPS

    n, c, size, o, k, stride, groups = shape
    random = np.random.default_rng(0)
    x = random.standard_normal((n, c, size, size)).astype(dtype)
    w = random.standard_normal((o, c // groups, k, k)).astype(dtype)
    attrs = {"stride": (stride,) * 2, "padding": (k // 2,) * 2, "dilation": (1, 1), "groups": groups}
    xs, ws = rv.from_numpy(x), rv.from_numpy(w)
    gs = rv.ones_like(OPS["convolve"](xs, ws, **attrs))
    ours: tuple[Callable[[], Any], ...] = (
        lambda: OPS["convolve"](xs, ws, **attrs),
        lambda: OPS["convolve_input"](gs, ws, size=(size, size), **attrs),
        lambda: OPS["convolve_weight"](xs, gs, size=(k, k), **attrs),
    )
    result = {work: {US: repeat(run)} for work, run in zip(WORK, ours)}
    if torch is not None:
        xt, wt, gt = (torch.from_numpy(a.numpy()) for a in (xs, ws, gs))
        sizes = [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], groups

        def backward(*wanted: bool) -> Callable[[], Any]:
            return lambda: torch.ops.aten.convolution_backward(gt, xt, wt, None, *sizes, [*wanted, False])

        theirs = (
            lambda: torch.nn.functional.conv2d(xt, wt, None, stride, k // 2, 1, groups),
            backward(True, False),
            backward(False, True),
        )
        for work, run in zip(WORK, theirs):
            result[work]["torch"] = repeat(run)
    return result


def sweep(settings: Settings, peak: Peak, torch: Any) -> list[Row]:
    rows = []
    for dtype in settings.dtypes:
        for shape in SHAPES:
            n, c, size, o, k, stride, groups = shape
            flops = 2 * n * (-(-size // stride)) ** 2 * o * (c // groups) * k * k
            name = f"{n}x{c}x{size}x{size}, {o} of {k}x{k}" + f", stride {stride}" * (stride > 1)
            name += f", {groups} groups" * (groups > 1) + f", {dtype}" * (dtype != "float32")
            for work, contenders in pair(torch, shape, dtype).items() if settings.wants(name) else ():
                seconds = race(contenders, settings)
                rows.append(Row(f"convolution, {work}", name, "us", {key: s * 1e6 for key, s in seconds.items()},
                                peak_percent=100 * flops / seconds[US] / peak.flops if dtype == "float32" else None,
                                targets=[Target(0.8, "torch")]))  # fmt: skip
    return rows


def networks(settings: Settings, torch: Any) -> list[Row]:
    import ranvier as rv
    from ranvier import nn, optim  # noqa: F401

    rows = []
    for network, limit in zip(IMAGES, STEP_TARGETS):
        if not settings.wants(network.name):
            continue
        steps = {US: repeat(training_step(US, rv, network))}
        predictions = {US: repeat(prediction(US, rv, network))}
        if torch is not None:
            steps["torch"] = repeat(training_step("torch", torch, network))
            predictions["torch"] = repeat(prediction("torch", torch, network))
            if not settings.quick:
                steps["torch.compile"] = repeat(training_step("torch.compile", torch, network))
            if session := onnx_prediction(torch, network, settings):
                predictions["onnxruntime"] = session
        for group, contenders, target in (
            ("training step of images", steps, limit),
            ("predict one image", predictions, 1.5),
        ):
            seconds = race(contenders, settings)
            values = {key: s * 1e3 for key, s in seconds.items()}
            rows.append(Row(group, network.name, "ms", values, targets=[Target(target, "best peer")]))
    return rows


def onnx_prediction(torch: Any, network: Any, settings: Settings) -> Contender | None:
    """ONNX Runtime on PyTorch's export of the network; None where one of them is missing."""
    import io
    import warnings

    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    file, x = io.BytesIO(), network.inputs()[0][:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.make(torch).eval(), (torch.from_numpy(x),), file, input_names=["x"], opset_version=17, dynamo=False
        )
    from .peer_onnx import bound, options

    model = onnxruntime.InferenceSession(file.getvalue(), options(settings), providers=["CPUExecutionProvider"])
    return bound(model, x)


def measure(settings: Settings, peak: Peak) -> list[Row]:
    torch = None if "torch" in settings.without else torch_or_none(settings)
    return [*networks(settings, torch), *sweep(settings, peak, torch)]
