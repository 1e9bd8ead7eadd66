"""ONNX Runtime as a peer: networks as ONNX models, made in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .mlp import Mlp
from .runner import Contender, Settings


def session(mlp: Mlp, settings: Settings) -> Any:
    """An inference session on as many threads as are measured; raises ImportError where onnx or its runtime is missing."""
    from onnx import helper, numpy_helper

    nodes, weights, value = [], [], "x"
    layers = mlp.weights()
    for i, (w, b) in enumerate(layers):
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        value = f"z{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Tanh" if mlp.activation == "tanh" else "Relu", [value], [f"a{i}"]))
            value = f"a{i}"
    return _session(nodes, weights, (1, mlp.widths[0]), value, (1, mlp.widths[-1]), settings)


_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # ONNX's gates, by their numbers in PyTorch


def recurrent_session(memory: Any, top: Any, shape: tuple[int, ...], settings: Settings) -> Any:
    """The same of an nn.LSTM or nn.GRU `memory` that reads `shape` (N, T, features), and an nn.Linear of its last step."""
    from onnx import helper, numpy_helper

    kind, hidden = memory.mode, memory.hidden_size
    weights, nodes = [], [helper.make_node("Transpose", ["x"], ["x0"], perm=[1, 0, 2])]

    def keep(name: str, array: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(array, name))
        return name

    def gates(parameter: Any) -> np.ndarray:
        values = parameter.detach().numpy()
        return values.reshape(len(_ORDER[kind]), hidden, -1)[list(_ORDER[kind])].reshape(1, *values.shape)

    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    axis = keep("axis", np.array([1]))
    for k in range(memory.num_layers):
        w, r = (keep(f"{name}{k}", gates(getattr(memory, f"weight_{name}_l{k}"))) for name in ("ih", "hh"))
        biases = [gates(getattr(memory, f"bias_{name}_l{k}")) for name in ("ih", "hh")]
        b = keep(f"b{k}", np.concatenate(biases, 1))
        nodes.append(helper.make_node(kind, [f"x{k}", w, r, b], [f"y{k}"], hidden_size=hidden, **more))
        nodes.append(helper.make_node("Squeeze", [f"y{k}", axis], [f"x{k + 1}"]))
    last = keep("last", np.array(-1))
    nodes.append(helper.make_node("Gather", [f"x{memory.num_layers}", last], ["h"], axis=0))
    ends = [keep("w", top.weight.detach().numpy()), keep("b", top.bias.detach().numpy())]
    nodes.append(helper.make_node("Gemm", ["h", *ends], ["z"], transB=1))
    return _session(nodes, weights, shape, "z", (shape[0], top.out_features), settings)


def _session(
    nodes: list, weights: list, x: tuple[int, ...], result: str, y: tuple[int, ...], settings: Settings
) -> Any:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), (result, y))]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # which every runtime of the last years reads
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options(settings), providers=["CPUExecutionProvider"]
    )


def options(settings: Settings) -> Any:
    """Of a session on as many threads as are measured."""
    import onnxruntime

    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads, result.inter_op_num_threads = settings.threads, 1
    result.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return result


def bound(model: Any, x: np.ndarray) -> Contender:
    """Runs on input and output memory that are bound beforehand: its quickest call."""
    binding = model.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output(model.get_outputs()[0].name, "cpu")

    def run(times: int) -> None:
        for _ in range(times):
            model.run_with_iobinding(binding)

    return run
