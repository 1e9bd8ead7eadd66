"""Models of 8 bits beside ours of float32 and ONNX Runtime's of 8 bits: the same weights, the same calibration data."""

from __future__ import annotations

import os
import tempfile
import warnings
from typing import Any

import numpy as np

from .peak import Peak
from .runner import US, Contender, Row, Settings, Target, merge, race, repeat

FLOAT, PEER = "ranvier float32", "onnxruntime int8"
# rows and the layers between input and output: widths, or channels of convolutions of 3x3 and then widths
LINEAR = {
    "512-512, 1 row": (1, (512, 512)), "512-512, 32 rows": (32, (512, 512)), "512-512, 256 rows": (256, (512, 512)),
    "784-512-512-10, 32 rows": (32, (784, 512, 512, 10)),
}  # fmt: skip
IMAGES = {
    "CNN 8x8 32-64-256-10, 32 rows": (32, 8, (1, 32, 64), 256), "CNN 32x32 32-64-256-10, 8 rows": (8, 32, (3, 32, 64), 256),
}  # fmt: skip
STORED = {"4096-4096, 1 row": 4096, "1024-1024, 1 row": 1024}


def measure(settings: Settings, peak: Peak) -> list[Row]:
    import ranvier as rv
    from ranvier import nn

    rows = []
    rv.manual_seed(0)
    for case, (batch, widths) in LINEAR.items():
        if settings.wants(case):
            layers: list[Any] = []
            for m, n in zip(widths, widths[1:]):
                layers += [nn.Linear(m, n), nn.ReLU()]
            rows.append(_row(settings, case, nn.Sequential(*layers[:-1]), rv.randn(batch, widths[0])))
    for case, (batch, size, channels, hidden) in IMAGES.items():
        if settings.wants(case):
            layers = []
            for m, n in zip(channels, channels[1:]):
                layers += [nn.Conv2d(m, n, 3, padding=1), nn.ReLU()]
            flat = channels[-1] * (size // 2) ** 2
            layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, 10)]
            rows.append(_row(settings, case, nn.Sequential(*layers), rv.rand(batch, channels[0], size, size)))
    for case, width in STORED.items():
        if settings.wants(case):
            model, x = nn.Sequential(nn.Linear(width, width)), rv.randn(1, width)
            runs = {FLOAT: _compiled(model, x)}
            for bits in (8, 4):
                small = _quantized(model, None, weights=f"int{bits}", activations=None)
                runs[US if bits == 8 else "ranvier int4"] = _compiled(small, x)
            rows.append(Row("weights alone", case, "us", _times(runs, settings), targets=[Target(1.5, FLOAT)]))
    return rows


def _row(settings: Settings, case: str, model: Any, x: Any) -> Row:
    runs = {US: _compiled(_quantized(model, x), x), FLOAT: _compiled(model, x)}
    try:
        runs[PEER] = _onnx(model, x.numpy(), settings)
    except ImportError:
        pass
    targets = [Target(1.5, FLOAT), Target(1.2, PEER)]
    return Row("int8", case, "us", _times(runs, settings), targets=targets)


def _times(runs: dict[str, Contender], settings: Settings) -> dict[str, float]:
    return {name: seconds * 1e6 for name, seconds in merge(race(runs, settings)).items()}


def _quantized(model: Any, data: Any, **options: Any) -> Any:
    import ranvier as rv

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which is slower is what the table says
        return rv.compress.quantize(model.eval(), data, **options)


def _compiled(model: Any, x: Any) -> Contender:
    import ranvier as rv

    with rv.no_grad():
        run = rv.compile(model.eval(), frozen=True)
        run(x)

    def work() -> None:
        with rv.no_grad():
            run(x)

    return repeat(work)


def _onnx(model: Any, x: np.ndarray, settings: Settings) -> Contender:
    """ONNX Runtime's static quantisation of the same model, by its own tool with scales by channel."""
    import logging

    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from ranvier import nn

    from .peer_onnx import bound

    nodes, weights, value = [], [], "x"
    for i, layer in enumerate(model):
        out, inputs, attrs = f"v{i}", [value], {}
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            kind = "Gemm" if isinstance(layer, nn.Linear) else "Conv"
            attrs = {"transB": 1} if kind == "Gemm" else {"pads": [1, 1, 1, 1]}
            for name, p in (("w", layer.weight), ("b", layer.bias)):
                weights.append(numpy_helper.from_array(p.detach().numpy(), f"{name}{i}"))
                inputs.append(f"{name}{i}")
        else:
            kind = {nn.ReLU: "Relu", nn.Flatten: "Flatten", nn.MaxPool2d: "MaxPool"}[type(layer)]
            attrs = {"kernel_shape": [2, 2], "strides": [2, 2]} if kind == "MaxPool" else {}
        nodes.append(helper.make_node(kind, inputs, [out], **attrs))
        value = out
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape)),
            helper.make_tensor_value_info(value, TensorProto.FLOAT, None)]  # fmt: skip
    graph = helper.make_graph(nodes, "model", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8

    class Reader(CalibrationDataReader):
        batches = iter([{"x": x}])

        def get_next(self) -> Any:
            return next(self.batches, None)

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = (os.path.join(folder, name) for name in ("plain.onnx", "small.onnx"))
        onnx.save(made, plain)
        quantize_static(
            plain, small, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(small, options, providers=["CPUExecutionProvider"])
    return bound(session, x)
