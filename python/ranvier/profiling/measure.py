"""`profile`: trace a model once, count, run and time the plan, and leave everything as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..compiling import CompiledFunction
from ..core.context import enable_grad, no_grad
from ..core.dtypes import is_float
from ..core.errors import GradError
from ..core.tree import leaves_of
from ..graph.ir import Graph, Node
from ..graph.passes import optimize
from ..nn import Module
from . import energy
from .count import Counted, alive, is_view
from .layers import as_tensors, in_mode, layers_of, noting_shapes
from .machine import Machine, machine
from .memory import Peak, resident, trim
from .report import Report, Time

OUTSIDE, OPTIMIZER = "(outside of layers)", "(optimizer)"
_SECONDS = 0.15  # of timed runs, about
_RUNS = 3, 200  # of them, at least and at most


def profile(
    model: Module,
    *inputs: Any,
    train: bool = False,
    target: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    measure: bool = True,
) -> Report:
    """What one call of `model(*inputs)` costs, or with `train` one step of training: in all and for each layer.

    The graph that Ranvier runs is counted, not modules by their type: operations come from the record of each op, for the
    backward pass and the optimizer too. Time is measured in the plan, instruction by instruction.

    Args:
        inputs: tensors or arrays, as the model takes them.
        train: forward pass in training mode, loss, backward pass and, with an `optimizer`, its step. A loss, a target or an
            optimizer imply it.
        target: what the loss compares the output with.
        loss: a function of (output, target), of the output alone where there is no target, a loss module, or a name as a
            Trainer takes them, such as "cross_entropy". Left out: the mean of all outputs.
        optimizer: an Optimizer of the model's parameters, a class or a name such as "adam".
        measure: False counts only; nothing runs then.

    Returns a Report: printed it is a table; `totals`, `layers`, `to_dict`, `to_json`, `plot` and `html` give the rest.
    Parameters, gradients, statistics, states of the optimizer and random numbers are afterwards what they were.

    Raises TypeError for a model that is no Module, ValueError for a loss by name without a target, GradError where there is
    nothing to learn, and TraceError where the model looks at values, so that it cannot be traced.

    >>> import ranvier as rv
    >>> model = rv.nn.Sequential(rv.nn.Linear(4, 8), rv.nn.ReLU(), rv.nn.Linear(8, 2))
    >>> report = rv.profile(model, rv.zeros(16, 4))
    >>> report.totals["parameters"], report.totals["macs_forward"]
    (58, 768)
    >>> report.layers["0"]["flops_forward"]
    1152
    """
    if not isinstance(model, Module):
        raise TypeError(f"profile: model={type(model).__name__} must be an nn.Module")
    train = train or loss is not None or target is not None or optimizer is not None
    tensors = as_tensors(inputs)
    with _untouched(model, optimizer):
        run, arguments = _training(model, tensors, target, loss, optimizer) if train else (model, tensors)
        layers = layers_of(model)
        if measure:
            trim()  # what the plan then takes is new
        grads = enable_grad() if train else no_grad()
        with in_mode(model, train), noting_shapes(model, layers), grads:
            trace = CompiledFunction(run, keeps="arguments").traced(*arguments)
        program, graph = trace.program, trace.graph
        if not hasattr(program, "plan"):
            graph = optimize(graph)  # in place: what the reference runs
        paths = {layer.label: layer.name for layer in layers.values()}
        owners = {id(p._data): layer.name for layer in layers.values() for p in layer.parameters}

        def name_of(node: Node) -> str:
            if not node.layer:
                return OPTIMIZER if node.phase == "optimizer" else OUTSIDE
            return paths.get(node.layer, node.layer)

        runs = _Runs(program, graph, [t._data for t in arguments])
        counted = Counted(graph, name_of, owners)
        report = Report(layers.values(), counted.works, runs.in_use(name_of), train)
        report.plan(counted.least, runs.arena, runs.around, runs.predicted)
        dtype = next((p.dtype for p in model.parameters() if is_float(p.dtype)), np.dtype(np.float32))
        if measure:
            runs.go()
            best = machine(dtype)
            report.time(best, runs.seconds, runs.by_layer(counted, best), runs.peak)
        report.spend(runs.energy, dtype.itemsize)
    return report


def _training(
    model: Module, inputs: list[Any], target: Any, loss: Any, optimizer: Any
) -> tuple[Callable[..., Any], list[Any]]:
    """A step of training, and its arguments."""
    from ..train.names import loss_by_name, optimizer_by_name

    if not any(p.requires_grad for p in model.parameters()):
        raise GradError("profile: train=True needs parameters that require a gradient; this model has none")
    if isinstance(loss, (str, type)) and target is None:
        raise ValueError(f"profile: loss={loss!r} compares the output with a target: pass target=")
    criterion = None if loss is None else loss_by_name(loss)
    if criterion is None and target is not None:
        raise ValueError("profile: target= needs a loss=")
    if optimizer is not None:
        optimizer = optimizer_by_name(optimizer, model.parameters())
    targets = [] if target is None else as_tensors([target])

    def step(*batch: Any) -> Any:
        output = model(*batch[: len(inputs)])
        value = _mean(output) if criterion is None else criterion(output, *batch[len(inputs) :])
        model.zero_grad()
        value.backward()
        if optimizer is not None:
            optimizer.step()
        return value

    return step, [*inputs, *targets]


def _mean(output: Any) -> Any:
    """The mean of all float outputs that have a gradient."""
    found = [t for t in leaves_of(output) if t.requires_grad]
    if not found:
        raise GradError("profile: no output of the model depends on a parameter that requires a gradient")
    total = found[0].mean()
    for t in found[1:]:
        total = total + t.mean()
    return total


@contextmanager
def _untouched(model: Module, optimizer: Any) -> Iterator[None]:
    """Gradients and the states of an optimizer are afterwards what they were."""
    grads = [(p, p.grad) for p in model.parameters()]
    states = {key: dict(entry) for key, entry in optimizer.state.items()} if hasattr(optimizer, "state") else None
    try:
        yield
    finally:
        for p, g in grads:
            if p.grad is not g:
                p.grad = g
        if states is not None and states.keys() != optimizer.state.keys():
            optimizer.state = states


class _Runs:
    """Runs of one program: what the plan says of memory, and what is measured.

    arrays: its arguments.
    """

    def __init__(self, program: Any, graph: Graph, arrays: list[np.ndarray]) -> None:
        self.program, self.graph, self.arrays = program, graph, arrays
        self.plan = getattr(program, "plan", None)
        self._bound = {id(v.data): v.data for _, v in graph.states}
        constants = (v for node in graph.nodes for v in node.inputs if v.kind == "constant" and v.number is None)
        self._bound.update((id(v.data), v.data) for v in constants)
        self.around = sum(a.nbytes for a in (*self._bound.values(), *arrays)) + sum(v.nbytes for v in graph.outputs)
        self.arena = self.plan.arena_bytes if self.plan is not None else None
        self.predicted = None if self.plan is None else self.around + self.arena + self.plan.shared_bytes
        self.peak: int | None = None
        self.seconds: float | None = None
        self.rows: list[float] = []  # seconds of each instruction
        self.energy: energy.Energy | None = None

    def in_use(self, name_of: Callable[[Node], str]) -> dict[str, int]:
        """The most bytes of the arena in use while each layer runs."""
        most: dict[str, int] = {}
        if self.plan is not None:
            for node, n in zip(self.program.nodes, alive(self.program.blocks, len(self.program.nodes))):
                if node is not None:
                    most[name_of(node)] = max(most.get(name_of(node), 0), n)
        return most

    def go(self) -> None:
        """Run until times are known."""
        there = sum(map(resident, (*self._bound.values(), *self.arrays)))
        changed = [(old.data, old.data.copy()) for old in self.graph.updates]
        try:
            peak, start = Peak(), time.perf_counter()
            self.program.run(*self.arrays)
            first = time.perf_counter() - start
            grown = peak.grown()
            self.peak = None if grown is None else there + grown
            self._time(int(min(max(_SECONDS / max(first, 1e-6), _RUNS[0]), _RUNS[1])))
        finally:
            for array, copy in changed:
                np.copyto(array, copy)

    def _time(self, runs: int) -> None:
        meter = energy.Meter()
        meter.start()
        if self.plan is not None:
            self.rows = [nanoseconds * 1e-9 for _, _, nanoseconds in self.plan.timings(runs, *self.arrays)]
            self.seconds = sum(self.rows)
        else:
            times = []
            for _ in range(_RUNS[0]):
                start = time.perf_counter()
                self.program.run(*self.arrays)
                times.append(time.perf_counter() - start)
            self.seconds, runs = float(np.median(times)), _RUNS[0]
        found = meter.stop()
        self.energy = None if found is None else energy.Energy(found.joules / runs, found.source)

    def by_layer(self, counted: Counted, best: Machine) -> dict[str, list[Time]]:
        """The instructions that each layer has a share of."""
        bandwidth = best.bandwidth(self.predicted or self.around)
        times: dict[str, list[Time]] = {}
        for node, seconds in zip(self.program.nodes if self.rows else (), self.rows):
            if node is None:  # a copy of what is no node's
                times.setdefault(OUTSIDE, []).append(Time(seconds, 0.0, 0.0))
                continue
            # of a view: a copy, where no strides express it
            nbytes = 2 * node.outputs[0].nbytes if is_view(node) else counted.moved(node)
            limits = best.seconds(counted.cost(node), nbytes, bandwidth)
            for name, share in counted.shares(node).items():
                times.setdefault(name, []).append(Time(*(float(share) * t for t in (seconds, *limits))))
        return times
