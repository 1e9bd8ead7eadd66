"""Which numbers of a model go together: channels, neurons and heads, found by following its traced graph.

Each position along each axis of each parameter starts with a label of its own. The graph is then followed in order: where an
op brings two positions together, their labels become one. What each kind of op does is not listed but asked of the op:

- elementwise ops pair positions as broadcasting does;
- views are run on the numbers of positions, and show where each has gone;
- of any other op gradients show which positions of its inputs reach which positions of its results, and, where an axis is
  summed over, which positions of another input each is multiplied with (those vanish when it is set to zero).

Labels that meet something without labels (the model's inputs, outputs, constants), or an op that mixes them, are fixed: the
positions have to stay, and a reason is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autograd import grad
from ..core.context import enable_grad
from ..core.dtypes import is_float
from ..core.tensor import as_tensor
from ..graph.ir import Node, Value
from ..nn import Module
from .common import path_of, traced

_TINY = 1e-5  # of the largest gradient: less is rounding
Axes = dict[int, np.ndarray]  # the labels along each axis that has some; 0: no label


@dataclass
class Group:
    """Positions that can only be removed together.

    members: for each tensor of the model, by name, and axis, the positions. summed: those of the members over which the
    next layer sums: were they zero, nothing else of the group would matter.
    """

    members: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    summed: set[tuple[str, int]] = field(default_factory=set)
    reason: str = ""  # why it has to stay; empty: it need not

    @property
    def family(self) -> tuple:
        """The same for groups of the same layers: one of them is one neuron, channel or head among others."""
        return tuple(sorted(self.members))


class _Sets:
    """Labels that became one, and those that are fixed, with the reason."""

    def __init__(self) -> None:
        self.parent = [0]
        self.reasons: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, label: int) -> int:
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def join(self, a: int, b: int, reason: str) -> None:
        """One of both may be 0: then the other is fixed."""
        if not a or not b:
            return self.fix([a or b], reason)
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[b] = a
            if b in self.reasons:
                self.reasons.setdefault(a, self.reasons.pop(b))

    def fix(self, labels: Iterable[int], reason: str) -> None:
        for label in labels:
            if label:
                self.reasons.setdefault(self.find(int(label)), reason)


def _varying(a: np.ndarray) -> list[int]:
    """The axes along which values differ."""
    return [d for d in range(a.ndim) if a.shape[d] > 1 and (np.diff(a, axis=d) != 0).any()]


def _along(axis: int, ndim: int, values: np.ndarray) -> np.ndarray:
    return values.reshape([-1 if d == axis else 1 for d in range(ndim)])


class _Probe:
    """One op on random numbers of its shapes, and its gradients."""

    def __init__(self, node: Node):
        rng = np.random.default_rng(0)
        attrs = {
            name: value for name, value in node.call.attrs.items() if not (node.call.op.extras and name == "training")
        }
        self.call = node.call.op.bind(**attrs)
        self.arrays = [
            rng.uniform(0.5, 1.5, v.shape).astype(np.float32) if is_float(v.dtype) else np.zeros(v.shape, v.dtype)
            for v in node.inputs
        ]
        for i, v in enumerate(node.inputs):
            if v.kind == "constant":
                self.arrays[i] = v.data.astype(np.float32) if is_float(v.dtype) else v.data
        self.floats = [i for i, v in enumerate(node.inputs) if is_float(v.dtype)]
        self.rng = rng

    def reached(
        self, output: int, mask: np.ndarray | None, zeroed: tuple[int, np.ndarray] | None = None
    ) -> dict[int, np.ndarray]:
        """For each float input, which of its elements change the output where `mask` is 1; `zeroed`: an input, and what it
        is multiplied with first.
        """
        arrays = list(self.arrays)
        if zeroed is not None:
            arrays[zeroed[0]] = arrays[zeroed[0]] * zeroed[1].astype(np.float32)
        with enable_grad():
            inputs = [as_tensor(a) for a in arrays]
            for i in self.floats:
                inputs[i] = inputs[i].detach().requires_grad_()
            out = self.call.apply(tuple(inputs))
            out = out[output] if isinstance(out, tuple) else out
            weights = self.rng.uniform(0.5, 1.5, out.shape).astype(np.float32)
            loss = (out * as_tensor(weights if mask is None else weights * mask.astype(np.float32))).sum()
            found = grad(loss, [inputs[i] for i in self.floats], allow_unused=True)
        result = {}
        for i, g in zip(self.floats, found):
            size = np.zeros(arrays[i].shape) if g is None else np.abs(g.numpy())
            result[i] = size > _TINY * size.max(initial=0)
        return result


def _any_along(a: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(a.any(tuple(d for d in range(a.ndim) if d != axis)))


class Flow:
    """The groups of a model, found with `inputs`."""

    def __init__(self, model: Module, inputs: tuple[Any, ...]):
        self.sets = _Sets()
        self.tensors = dict(model.state_dict(keep_vars=True))
        graph = traced(model, inputs)
        names = {id(t._data): name for name, t in self.tensors.items()}
        self.values: dict[Value, Axes] = {}
        self.own: dict[str, Axes] = {}
        self.summed: set[tuple[int, str, int]] = set()  # label, name, axis
        self._named: dict[Value, str] = {}
        self._known: dict[tuple, Any] = {}
        for _, value in graph.states:
            name = names.get(id(value.data))
            if name is not None and is_float(value.dtype):
                axes = {a: self.sets.new(n) for a, n in enumerate(value.shape) if n > 1}
                self.values[value] = self.own[name] = axes
                self._named[value] = name
        for node in graph.nodes:
            self._follow(node)
        for value in graph.results():
            for labels in self.values.get(value, {}).values():
                self.sets.fix(labels, "the model returns it")

    # -------------------------------------------------------------- ops

    def _follow(self, node: Node) -> None:
        where = path_of(node) or "the model"
        self.reason = f"{node.name} in {where}"
        if not any(self.values.get(v) for v in node.inputs):
            return
        if node.call.op.kind == "elementwise":
            self._elementwise(node)
        elif node.call.op.kind == "view":
            self._view(node)
        elif node.call.op.vjp is None or not self._grouped(node):
            self._fix_all(node.inputs, f"{self.reason} cannot be followed")
        else:
            self._probe(node)

    def _fix_all(self, values: Iterable[Value], reason: str) -> None:
        for value in values:
            for labels in self.values.get(value, {}).values():
                self.sets.fix(labels, reason)

    def _grouped(self, node: Node) -> bool:
        """Whether channels in groups, if there are such, are each a group alone."""
        groups = node.call.attrs.get("groups", 1)
        return groups == 1 or all(v.shape[1] == groups for v in (node.inputs[0], node.outputs[0]))

    def _elementwise(self, node: Node) -> None:
        out = node.outputs[0]
        result: Axes = {}
        for axis in range(out.ndim):
            own = [(v, axis - out.ndim + v.ndim) for v in node.inputs]
            own = [(v, a) for v, a in own if a >= 0 and v.shape[a] == out.shape[axis] > 1]
            found = [self.values.get(v, {}).get(a) for v, a in own]
            labels = next((f for f in found if f is not None), None)
            if labels is not None:
                result[axis] = labels
                for other in found:
                    self._join(labels, np.zeros_like(labels) if other is None else other, self.reason)
        self.values[out] = result

    def _join(self, a: np.ndarray, b: np.ndarray, reason: str) -> None:
        for x, y in zip(a.tolist(), b.tolist()):
            if x or y:
                self.sets.join(x, y, f"{reason}: it meets what no parameter makes")

    def _view(self, node: Node) -> None:
        source, out = node.inputs[0], node.outputs[0]
        result: Axes = {}
        for axis, labels in self.values.get(source, {}).items():
            places = np.broadcast_to(_along(axis, source.ndim, np.arange(len(labels))), source.shape)
            moved = np.asarray(node.call.op.reference(np, places, **node.call.attrs))
            varying = _varying(moved)
            if len(np.unique(moved)) < len(labels) or not varying or varying[0] in result:
                self.sets.fix(labels, f"{self.reason}: parts of an axis are taken apart")
                continue
            carrier = varying[0]
            lines = np.moveaxis(moved, carrier, 0).reshape(moved.shape[carrier], -1)
            if len(varying) > 1:  # an axis that is split, as into heads: what lies in one part is one
                for line in lines:
                    for place in np.unique(line)[1:]:
                        self.sets.join(int(labels[line[0]]), int(labels[place]), self.reason)
            result[carrier] = labels[lines[:, 0]]
        self.values[out] = result

    def _probe(self, node: Node) -> None:
        maps, pairs = self._ways(node)
        integers = any(not is_float(v.dtype) for v in node.inputs)
        used: set[tuple[int, int]] = set()
        results: list[Axes] = [{} for _ in node.outputs]
        for (i, a, output, b), target in maps.items():
            labels = self.values.get(node.inputs[i], {}).get(a)
            used.add((i, a))
            if labels is None:
                continue
            if integers and not np.array_equal(target, np.arange(len(target))):
                self.sets.fix(labels, f"{self.reason}: positions are picked by number")
                continue
            new = results[output].setdefault(b, np.zeros(node.outputs[output].shape[b], np.int64))
            for label, place in zip(labels.tolist(), target.tolist()):
                if place < 0:
                    self.sets.fix([label], f"{self.reason}: it does not reach the result")
                elif new[place] and label:
                    self.sets.join(int(new[place]), label, self.reason)
                else:
                    new[place] = new[place] or label
        for (i, a, other, c), partner in pairs.items():
            labels, theirs = (self.values.get(node.inputs[k], {}).get(d) for k, d in ((i, a), (other, c)))
            if labels is None or theirs is None:
                continue
            used.update(((i, a), (other, c)))
            self._join(theirs, labels[partner], self.reason)
            if node.inputs[i] not in self._named and node.inputs[other] not in self._named:
                self.sets.fix(labels, f"{self.reason}: products of activations are summed over it")
            for value, axis, joined in ((node.inputs[i], a, labels), (node.inputs[other], c, theirs)):
                if value in self._named:
                    self.summed.update((int(label), self._named[value], axis) for label in joined)
        for i, value in enumerate(node.inputs):
            for a, labels in self.values.get(value, {}).items():
                if (i, a) not in used:
                    self.sets.fix(labels, f"{self.reason} mixes it")
        for value, axes in zip(node.outputs, results):
            self.values[value] = axes

    # -------------------------------------------------------------- what an op does

    def _ways(self, node: Node) -> tuple[dict, dict]:
        """maps: {(input, axis, output, its axis): the position there of each position, -1 where it does not reach it}, of
        the axes whose positions go to one each. pairs: {(input, axis, other input, its axis): the position that each one of
        the other's is multiplied with}.
        """
        labelled = [(i, a) for i, v in enumerate(node.inputs) for a in self.values.get(v, ())]
        key = (node.call, *((v.shape, v.dtype) for v in node.inputs), tuple(labelled))
        if all(v.kind != "constant" for v in node.inputs) and key in self._known:
            return self._known[key]
        probe = _Probe(node)
        maps: dict[tuple[int, int, int, int], np.ndarray] = {}
        extras = node.call.op.extras if node.call.attrs.get("training") else 0
        for output, value in enumerate(node.outputs[: len(node.outputs) - extras]):
            if not is_float(value.dtype):
                continue
            for b, size in enumerate(value.shape):
                if size > 1:
                    maps.update(
                        {(i, a, output, b): t for (i, a), t in self._map(probe, labelled, output, value, b).items()}
                    )
        summed = [at for at in labelled if not any(key[:2] == at for key in maps)]
        pairs = {}
        for i, a in summed:
            for (other, c), partner in self._pair(probe, i, a, [at for at in summed if at[0] > i]).items():
                pairs[i, a, other, c] = partner
        self._known[key] = maps, pairs
        return maps, pairs

    def _map(self, probe: _Probe, labelled: list, output: int, value: Value, b: int) -> dict:
        size = value.shape[b]
        found = {at: np.full(probe.arrays[at[0]].shape[at[1]], 0) for at in labelled}
        missed = {at: np.zeros(len(t), bool) for at, t in found.items()}
        for bit in range(math.ceil(math.log2(size))):
            ones = np.arange(size) >> bit & 1
            sides = [probe.reached(output, _along(b, value.ndim, side)) for side in (1 - ones, ones)]
            for i, a in list(found):
                low, high = (_any_along(side[i], a) for side in sides)
                if (low & high).any():
                    del found[i, a]
                    continue
                found[i, a] |= high.astype(np.int64) << bit
                missed[i, a] |= ~(low | high)
            if not found:
                return {}
        return {at: np.where(missed[at], -1, t) for at, t in found.items() if not missed[at].all()}

    def _pair(self, probe: _Probe, i: int, a: int, others: list) -> dict:
        shape = probe.arrays[i].shape
        found = {(k, c): np.zeros(probe.arrays[k].shape[c], np.int64) for k, c in others}
        for bit in range(math.ceil(math.log2(shape[a]))):
            if not found:
                break
            ones = np.arange(shape[a]) >> bit & 1
            sides = [probe.reached(0, None, (i, _along(a, len(shape), side))) for side in (1 - ones, ones)]
            for k, c in list(found):
                low, high = (_any_along(side[k], c) for side in sides)
                if (low == high).any():  # it meets several positions, or none
                    del found[k, c]
                else:
                    found[k, c] |= high.astype(np.int64) << bit
        return {at: t for at, t in found.items() if len(np.unique(t)) == shape[a] <= len(t)}

    # -------------------------------------------------------------- the result

    def groups(self) -> list[Group]:
        """All groups, in the order of the model's tensors."""
        found: dict[int, Group] = {}
        for name, axes in self.own.items():
            for axis, labels in axes.items():
                for place, label in enumerate(labels.tolist()):
                    root = self.sets.find(label)
                    group = found.setdefault(root, Group(reason=self.sets.reasons.get(root, "")))
                    group.members.setdefault((name, axis), []).append(place)
        for label, name, axis in self.summed:
            if label:
                found[self.sets.find(label)].summed.add((name, axis))
        for group in found.values():
            if not group.summed and not group.reason:
                group.reason = "no layer sums over it"
        return list(found.values())
