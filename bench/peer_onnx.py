"""ONNX Runtime as a peer: a multilayer perceptron as an ONNX model, made in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mlp import Mlp
from .runner import Contender, Settings


def session(mlp: Mlp, settings: Settings) -> Any:
    """An inference session on as many threads as are measured; raises ImportError where onnx or its runtime is missing."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, value = [], [], "x"
    layers = mlp.weights()
    for i, (w, b) in enumerate(layers):
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        value = f"z{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Tanh" if mlp.activation == "tanh" else "Relu", [value], [f"a{i}"]))
            value = f"a{i}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
        for name, width in (("x", mlp.widths[0]), (value, mlp.widths[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # which every runtime of the last years reads
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def bound(model: Any, x: np.ndarray) -> Contender:
    """Runs on input and output memory that are bound beforehand: its quickest call."""
    binding = model.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output(model.get_outputs()[0].name, "cpu")

    def run(times: int) -> None:
        for _ in range(times):
            model.run_with_iobinding(binding)

    return run
