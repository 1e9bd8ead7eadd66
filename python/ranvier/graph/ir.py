"""The IR: values, nodes in execution order, and the states that a run changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.errors import TraceError
from ..core.traced import Traced


class Value(Traced):
    """One array in a graph. `kind` says where it comes from: "input", "state" (a captured tensor, by reference),
    "constant" (a captured array that never changes) or "node".
    """

    __slots__ = ("shape", "dtype", "kind", "node", "data", "graph", "__weakref__")

    def __init__(self, graph: Graph, shape: tuple, dtype: np.dtype, kind: str, node: Any = None, data: Any = None):
        self.graph, self.shape, self.dtype, self.kind, self.node, self.data = graph, shape, dtype, kind, node, data

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def device(self) -> str:
        return self.graph.device

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def number(self) -> Any:
        """The number that a 0-d constant stands for, else None; also for an integer that no double holds, as kernels take
        numbers.
        """
        if self.kind != "constant" or self.shape != ():
            return None
        number = self.data.item()
        return number if number.__class__ is not int or float(number) == number else None


class Node:
    """One call: `outputs = call(inputs)`, in `layer`. phase: "forward"; "backward", for the gradients of what that layer
    did; or "optimizer".
    """

    __slots__ = ("call", "inputs", "outputs", "layer", "phase")

    def __init__(self, call: Any, inputs: list[Value], outputs: list[Value], layer: str = "", phase: str = "forward"):
        self.call, self.inputs, self.outputs, self.layer, self.phase = call, inputs, outputs, layer, phase
        for value in outputs:
            value.node = self

    @property
    def name(self) -> str:
        return self.call.op.name

    @property
    def body(self) -> list[Node]:
        return [self]


class Group(Node):
    """Nodes that run as one instruction: a chain of elementwise ops, alone or behind the op that feeds it."""

    __slots__ = ("_body",)

    def __init__(self, body: list[Node], inputs: list[Value], outputs: list[Value]):
        self.call, self._body = None, body
        self.inputs, self.outputs, self.layer, self.phase = inputs, outputs, body[0].layer, body[0].phase

    @property
    def name(self) -> str:
        return "+".join(node.name for node in self._body)

    @property
    def body(self) -> list[Node]:
        return self._body


class Graph:
    """A traced function.

    `states` are the captured tensors with the Value that each has at the start; `updates` gives, for some of these
    Values, the Value that the state has to hold after a run. device: where all of them are. frozen: states without
    an update hold the same values in each run.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.inputs: list[Value] = []
        self.states: list[tuple[Any, Value]] = []
        self.nodes: list[Node] = []
        self.outputs: list[Value] = []
        self.updates: dict[Value, Value] = {}
        self.frozen = False
        self._specs: dict[tuple, Any] = {}

    def infer(self, call: Any, inputs: list[Value]) -> Any:
        """What the rule of the op says of its outputs: asked once for calls that are alike, as those of a loop are."""
        key = (call, *[(v.shape, v.dtype) for v in inputs])
        specs = self._specs.get(key)
        if specs is None:
            specs = self._specs[key] = call.op.infer(*inputs, **call.attrs)
        return specs

    def input(self, shape: tuple, dtype: np.dtype) -> Value:
        value = Value(self, shape, dtype, "input")
        self.inputs.append(value)
        return value

    def state(self, tensor: Any) -> Value:
        value = Value(self, tensor._data.shape, tensor._data.dtype, "state", data=tensor._data)
        self.states.append((tensor, value))
        return value

    def constant(self, array: np.ndarray) -> Value:
        return Value(self, array.shape, array.dtype, "constant", data=array)

    def add(self, call: Any, inputs: list[Value], specs: list, layer: str = "", phase: str = "forward") -> Node:
        outputs = [Value(self, tuple(shape), dtype, "node") for shape, dtype in specs]
        node = Node(call, inputs, outputs, layer, phase)
        self.nodes.append(node)
        return node

    def uses(self) -> dict[Value, list[Node]]:
        """The nodes that read each value (a node once for each time that it does)."""
        result: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                result.setdefault(value, []).append(node)
        return result

    def fixed(self) -> set[Value]:
        """The values that are the same in each run: constants, states that are frozen, and what follows from them alone."""
        if not self.frozen:
            return set()
        known = {value for _, value in self.states if value not in self.updates}
        for node in self.nodes:
            if all(v in known or v.kind == "constant" for v in node.inputs):
                known.update(node.outputs)
        return known

    def results(self) -> Iterator[Value]:
        """The values that have to exist after a run."""
        yield from self.outputs
        yield from self.updates.values()

    def check(self) -> Graph:
        """Raise unless the graph is well formed: values made before use, specs as the ops infer them."""
        made: set[Value] = set()

        def available(value: Value, user: str) -> None:
            if value.kind == "node" and value not in made:
                raise TraceError(f"graph: {user} uses a value of shape {value.shape} that nothing before it makes")

        for node in self.nodes:
            for value in node.inputs:
                available(value, node.name)
            inner = set(node.inputs)
            for step in node.body:
                for value in step.inputs:
                    if isinstance(node, Group) and value not in inner and value.kind != "constant":
                        raise TraceError(f"graph: {step.name} in {node.name} uses a value from outside of its group")
                specs = self.infer(step.call, step.inputs)
                specs = specs if type(specs) is list else [specs]
                found = [(v.shape, v.dtype) for v in step.outputs]
                if [(tuple(s), d) for s, d in specs] != found:
                    raise TraceError(f"graph: {step.name} has outputs {found}, its rule says {specs}")
                inner.update(step.outputs)
            made.update(node.outputs)
        for value in self.results():
            available(value, "the end of the graph")
        for old, new in self.updates.items():
            if old.shape != new.shape or old.dtype != new.dtype:
                raise TraceError(f"graph: a state of {old.shape} {old.dtype} is updated with {new.shape} {new.dtype}")
        return self

    def __str__(self) -> str:
        names: dict[Value, str] = {}

        def name(value: Value) -> str:
            if value not in names:
                if value.number is not None:
                    names[value] = repr(value.number)
                else:
                    prefix = {"input": "in", "state": "state", "constant": "const", "node": "v"}[value.kind]
                    names[value] = f"%{prefix}{sum(n.startswith(f'%{prefix}') for n in names.values())}"
            return names[value]

        def typed(value: Value) -> str:
            return f"{name(value)}: {value.dtype}{list(value.shape)}"

        lines = [f"graph({', '.join(map(typed, self.inputs))})"]
        lines += [f"  {typed(value)}" for _, value in self.states]
        for node in self.nodes:
            indent = "  "
            if isinstance(node, Group):
                lines.append(f"  {', '.join(map(typed, node.outputs))} = group")
                indent = "    | "
            for step in node.body:
                attrs = "".join(f", {k}={v!r}" for k, v in step.call.attrs.items())
                where = f"    # {step.layer}" if step.layer else ""
                lines.append(
                    f"{indent}{', '.join(map(typed, step.outputs))} = "
                    f"{step.name}({', '.join(map(name, step.inputs))}{attrs}){where}"
                )
        lines += [f"  {name(old)} <- {name(new)}" for old, new in self.updates.items()]
        lines.append(f"  return {', '.join(map(name, self.outputs))}")
        return "\n".join(lines)
