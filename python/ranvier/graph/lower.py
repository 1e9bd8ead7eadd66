"""Lowering: a Graph becomes the slots and instructions of a native Plan (docs/design/plan.md)."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..core.dtypes import CODE
from . import arena
from .ir import Graph, Group, Node, Value
from .passes.simplify import c_strides


class Buffer:
    """One piece of memory: an input, a bound array, an output, or (with neither) a place in the arena.

    fixed: what lies there is the same in each run, until the plan is told to renew it.
    """

    __slots__ = ("kind", "payload", "nbytes", "first", "last", "alias", "slot", "fixed")

    def __init__(self, kind: str, payload: Any, nbytes: int, fixed: bool = False):
        self.kind, self.payload, self.nbytes, self.fixed = kind, payload, nbytes, fixed
        self.first = self.last = -1
        self.alias: Buffer | None = None
        self.slot = -1

    def root(self) -> Buffer:
        return self if self.alias is None else self.alias.root()


class Place:
    """Where a value lies: a buffer, and offset and strides in elements."""

    __slots__ = ("buffer", "offset", "strides", "shape", "dtype")

    def __init__(self, buffer: Buffer, offset: int, strides: tuple, shape: tuple, dtype: np.dtype):
        self.buffer, self.offset, self.strides, self.shape, self.dtype = buffer, offset, strides, shape, dtype

    def operand(self) -> tuple:
        itemsize = self.dtype.itemsize
        return (self.buffer.root().slot, self.offset * itemsize, CODE[self.dtype], self.shape, self.strides)


class Instruction(NamedTuple):
    """One instruction of a plan, and the node that it is for: None where it copies what is no node's."""

    kernel: str
    ins: list[Place]
    outs: list[Place]
    attrs: dict[str, Any]
    label: str
    node: Node | None


def encode_program(
    inputs: list[Value], body: list[Node], outputs: list[Value], rows: dict[str, int]
) -> dict[str, list]:
    """The attributes of a tile program (docs/design/kernels.md)."""
    register: dict[Any, int] = {value: i for i, value in enumerate(inputs)}
    constants: dict[tuple, int] = {}
    codes: list[int] = []
    floats: list[float] = []

    def constant(number: Any, dtype: np.dtype) -> int:
        key = (repr(number), dtype)
        if key not in constants:
            constants[key] = len(inputs) + len(constants)
            codes.append(CODE[dtype])
            floats.append(float(number))
        return constants[key]

    operands: list[list[Any]] = []
    for node in body:  # constants first: temporaries are numbered behind them
        row: list[Any] = [v if v.number is None else constant(v.number, v.dtype) for v in node.inputs]
        if node.call.op.encode is None:
            dtype = node.inputs[-1].dtype
            row += [constant(number, dtype) for number in node.call.attrs.values()]
        operands.append(row)
    last_read = {v: i for i, row in enumerate(operands) for v in row if not isinstance(v, int)}
    last_read.update(dict.fromkeys(outputs, len(body)))
    next_register = len(inputs) + len(constants)
    free: list[int] = []
    steps: list[int] = []
    for i, (node, row) in enumerate(zip(body, operands)):
        out = free.pop() if free else next_register
        next_register = max(next_register, out + 1)
        regs = [r if isinstance(r, int) else register[r] for r in row]
        op = node.call.op
        code = CODE[node.inputs[-1].dtype] if op.encode is None else op.encode(*node.inputs, **node.call.attrs)
        steps += [rows[op.name], code, len(regs), out, *regs, *[-1] * (4 - len(regs))]
        register[node.outputs[0]] = out
        # a temporary whose last reader has run is free again; few of them keep the tiles long
        ends = [v for v in dict.fromkeys(row) if not isinstance(v, int) and last_read[v] == i]
        free += [register[v] for v in ends if register[v] >= len(inputs) + len(constants)]
        if node.outputs[0] not in last_read:
            free.append(out)
    return {"dtypes": codes, "constants": floats, "steps": steps, "outputs": [register[v] for v in outputs]}


def encode(node: Node, rows: dict[str, int]) -> tuple[str, list[Value], list[Value], dict[str, Any]]:
    """(kernel, inputs, outputs, attributes) of the instruction for a node that is not a view."""
    op = node.body[0].call.op
    if op.kind == "elementwise":
        inputs = [v for v in node.inputs if v.number is None]
        return "tile", inputs, node.outputs, encode_program(inputs, node.body, node.outputs, rows)
    first, *rest = node.body
    attrs = op.encode(*first.inputs, **first.call.attrs) if op.encode else first.call.attrs
    if not op.epilogue:
        return op.kernel, node.inputs, node.outputs, attrs
    made = {v for step in node.body for v in step.outputs}
    extra = list(dict.fromkeys(v for step in rest for v in step.inputs if v not in made and v.number is None))
    program = encode_program([first.outputs[0], *extra], rest, node.outputs if rest else [], rows)
    return op.kernel, [*first.inputs, *extra], node.outputs, {**attrs, **program}


def _is_view(node: Node) -> bool:
    return node.call is not None and node.call.op.kind == "view"


def _may_fault(node: Node) -> bool:
    """Whether values of its inputs, such as an index out of range, can stop a run at `node`."""
    if node.call is None or node.call.op.kind != "kernel":
        return False
    return node.call.op.effect or any(np.dtype(v.dtype).kind in "iu" for v in node.inputs)


class Lowering:
    """Builds the plan of one graph."""

    def __init__(self, graph: Graph, rows: dict[str, int]):
        self.graph, self.rows = graph, rows
        self.places: dict[Value, Place] = {}
        self.once: list[Instruction] = []  # those that make what is fixed of what is fixed
        self.instructions: list[Instruction] = []  # all others; in the end, all
        self.refreshes: list[tuple[np.ndarray, np.ndarray]] = []  # (contiguous twin, captured array)
        self.buffers: list[Buffer] = []
        self.roots: dict[Value, Value] = {}  # of views: the value whose memory they show
        self.blocks: list[arena.Block] = []
        self.targets: dict[Value, Buffer] = {}  # results that are computed where they have to end up

    def plan(self) -> tuple[list, list, int, list]:
        """The arguments of the native Plan."""
        graph = self.graph
        for value in graph.inputs:
            self._place(value, self._new("input", None, value.nbytes))
        for _, value in graph.states:
            self._place(
                value, self._new("bound", value.data, value.nbytes, graph.frozen and value not in graph.updates)
            )
        self.output_buffers = [self._new("output", (CODE[v.dtype], v.shape), v.nbytes) for v in graph.outputs]
        self._choose_targets()
        for node in graph.nodes:
            self._node(node)
        self._finish()
        return self._assemble()

    @property
    def nodes(self) -> list[Node | None]:
        """The node of each instruction of the plan."""
        return [instruction.node for instruction in self.instructions]

    # -------------------------------------------------------- buffers and places

    def _new(self, kind: str, payload: Any, nbytes: int, fixed: bool = False) -> Buffer:
        buffer = Buffer(kind, payload, nbytes, fixed)
        self.buffers.append(buffer)
        return buffer

    def _place(self, value: Value, buffer: Buffer) -> Place:
        place = Place(buffer, 0, c_strides(value.shape), value.shape, value.dtype)
        self.places[value] = place
        return place

    def _of(self, value: Value) -> Place:
        place = self.places.get(value)
        if place is None:  # a constant, met for the first time
            place = self._place(
                value, self._new("bound", np.ascontiguousarray(value.data), value.nbytes, self.graph.frozen)
            )
        return place

    def _root(self, value: Value) -> Value:
        """The value whose memory `value` is a view of."""
        return self.roots.get(value, value)

    def _choose_targets(self) -> None:
        """Let updates and outputs be computed in place where nothing still needs the old contents."""
        graph = self.graph
        fixed = graph.fixed()  # kept from run to run: not in memory of results
        index: dict[Value, int] = {}
        last_read: dict[Value, int] = {}  # through views too
        faults = [0]  # how many of the first nodes may fault
        for i, node in enumerate(graph.nodes):
            if _is_view(node):
                self.roots[node.outputs[0]] = self._root(node.inputs[0])
            last_read.update((self._root(value), i) for value in node.inputs)
            index.update((value, i) for value in node.outputs if value not in fixed)
            faults.append(faults[-1] + _may_fault(node))
        at_end = {self._root(v) for v in graph.results()}
        rooms: dict[int, dict[Value, list[Value]]] = {}

        def free(old: Value, new: Value) -> bool:
            """Whether nothing reads `old` once the node that makes `new` has run, and `new` may be written over it."""
            i, last = index[new], last_read.get(old, -1)
            return last < i or last == i and old in room(new)

        def room(new: Value) -> list[Value]:
            i = index[new]
            if i not in rooms:
                rooms[i] = self._rooms(graph.nodes[i])
            return rooms[i].get(new, [])

        for old, new in graph.updates.items():
            if new not in self.targets and new in index and self._root(new) is new and old not in at_end:
                if free(old, new):
                    self.targets[new] = self.places[old].buffer
        for value, buffer in zip(graph.outputs, self.output_buffers):
            if value not in self.targets and value in index and self._root(value) is value:
                self.targets[value] = buffer
        old_of = {self.places[old].buffer: old for old in graph.updates}
        pending = list(self.targets)
        while pending:  # what is written over by a result that has its place is computed there too
            new = pending.pop()
            i, buffer = index[new], self.targets[new]
            state = old_of.get(buffer)
            for x in room(new):
                if x not in index or x in self.targets or x in at_end or self._root(x) is not x or last_read[x] != i:
                    continue
                # a state is old or new, also after a fault
                if state is None or free(state, x) and faults[index[x] + 1] == faults[i + 1]:
                    self.targets[x] = buffer
                    pending.append(x)
                    break

    def _rooms(self, node: Node) -> dict[Value, list[Value]]:
        """For each output of `node`, the inputs that it may be written over."""
        viewed = {self._root(v) for v in node.inputs if self._root(v) is not v}  # read in another order too
        if all(step.call.op.kind == "elementwise" for step in node.body):
            inputs = dict.fromkeys(node.inputs)
            pairs = [(new, old) for new in node.outputs for old in inputs]
        elif isinstance(node, Group):
            pairs = []
        else:
            count = Counter(node.inputs)
            aliases = node.call.op.aliases(len(node.inputs), node.call.attrs)
            pairs = [(node.outputs[k], node.inputs[p]) for k, p in aliases.items() if count[node.inputs[p]] == 1]
        rooms: dict[Value, list[Value]] = {}
        for new, old in pairs:
            if old not in viewed and new.shape == old.shape and new.dtype == old.dtype:
                rooms.setdefault(new, []).append(old)
        return rooms

    # -------------------------------------------------------- instructions

    def _node(self, node: Node) -> None:
        if _is_view(node):
            self._view(node)
            return
        kernel, inputs, outputs, attrs = encode(node, self.rows)
        ins = [self._of(v) for v in inputs]
        outs = []
        for value in outputs:
            buffer = self.targets.get(value) or self._new("arena", None, value.nbytes)
            outs.append(self._place(value, buffer))
        name = node.name if node.call is None else node.call.op.label(node.call.attrs)
        label = f"{name} [in {node.layer}]" if node.layer else name
        self._emit(Instruction(kernel, ins, outs, attrs, label, node))

    def _emit(self, new: Instruction) -> None:
        once = self.graph.frozen and all(p.buffer.fixed for p in new.ins)
        once = once and all(p.buffer.kind == "arena" for p in new.outs)
        if once:
            for place in new.outs:
                place.buffer.fixed = True
        (self.once if once else self.instructions).append(new)

    def _view(self, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        place = self._of(x)
        op, attrs = node.call.op, node.call.attrs
        memory_of = op.strides(SimpleNamespace(shape=place.shape, strides=place.strides), out.shape, attrs=attrs)
        if memory_of is None:
            place = self._copy(node, place)
            memory_of = op.strides(SimpleNamespace(shape=place.shape, strides=place.strides), out.shape, attrs=attrs)
        offset, strides = memory_of
        self.places[out] = Place(place.buffer, place.offset + offset, tuple(strides), out.shape, out.dtype)

    def _copy(self, node: Node | None, place: Place, to: Place | None = None) -> Place:
        if to is None:
            size = place.dtype.itemsize
            for n in place.shape:
                size *= n
            to = Place(self._new("arena", None, size), 0, c_strides(place.shape), place.shape, place.dtype)
        self._emit(Instruction("copy", [place], [to], {}, "copy", node))
        return to

    def _finish(self) -> None:
        """Copy the results that are not where they belong."""
        graph = self.graph
        done: set[Value] = set()
        for value, buffer in zip(graph.outputs, self.output_buffers):
            if self.targets.get(value) is buffer and value not in done:
                done.add(value)
                continue
            to = Place(buffer, 0, c_strides(value.shape), value.shape, value.dtype)
            self._copy(value.node, self._of(value), to)
        pending = []
        overwritten = set(graph.updates)
        for old, new in graph.updates.items():
            if self.targets.get(new) is self.places[old].buffer:
                continue
            source = self._of(new)
            if self._root(new) in overwritten:
                source = self._copy(new.node, source)
            pending.append((new.node, source, self.places[old]))
        for node, source, to in pending:
            self._copy(node, source, to)

    # -------------------------------------------------------- assembly

    def _assemble(self) -> tuple[list, list, int, list]:
        self.instructions[:0] = self.once
        for i, instruction in enumerate(self.instructions):
            for place in (*instruction.outs, *instruction.ins):
                buffer = place.buffer
                buffer.first = i if buffer.first < 0 else buffer.first
                buffer.last = len(self.instructions) if buffer.fixed and i >= len(self.once) else i
        self._alias_dying_inputs()
        blocks: dict[Buffer, arena.Block] = {}
        for buffer in self.buffers:
            if buffer.kind == "arena" and buffer.alias is None and buffer.first >= 0:
                blocks[buffer] = arena.Block(buffer.nbytes, buffer.first, buffer.last)
        self.blocks = list(blocks.values())
        arena.plan(self.blocks)
        slots: list[tuple] = []
        for buffer in self.buffers:
            if buffer.alias is not None or buffer.kind == "arena" and buffer not in blocks:
                continue
            buffer.slot = len(slots)
            if buffer.kind == "arena":
                slots.append(("arena", blocks[buffer].offset, buffer.nbytes))
            elif buffer.kind == "input":
                slots.append(("input", buffer.nbytes))
            elif buffer.kind == "output":
                slots.append(("output", *buffer.payload))
            else:
                slots.append(("bound", self._bindable(buffer.payload)))
        instructions = [
            (x.kernel, [p.operand() for p in x.ins], [p.operand() for p in x.outs], x.attrs, x.label)
            for x in self.instructions
        ]
        fixed = [b.slot for b in self.buffers if b.fixed and b.slot >= 0]
        return slots, instructions, len(self.once), fixed

    def _alias_dying_inputs(self) -> None:
        """An elementwise instruction may write over an input that nothing reads later, where each element is read for
        the element of the output in its place alone.
        """
        for i, (kernel, ins, outs, *_) in enumerate(self.instructions):
            if kernel != "tile":
                continue
            taken: set[int] = set()
            for out in outs:
                target = out.buffer
                if target.kind != "arena" or target.alias is not None or target.first != i:
                    continue
                for place in ins:
                    source = place.buffer.root()
                    if (
                        source.kind == "arena"
                        and source.last == i
                        and source.first < i
                        and id(source) not in taken
                        and source.nbytes == target.nbytes
                        and all(
                            (p.offset, p.strides, p.shape) == (out.offset, out.strides, out.shape)
                            for p in ins
                            if p.buffer.root() is source
                        )
                    ):
                        taken.add(id(source))
                        target.alias = source
                        source.last = max(source.last, target.last)
                        break

    def _bindable(self, array: np.ndarray) -> np.ndarray:
        """`array`, or a C-contiguous twin that is refreshed before and written back after each run."""
        if array.flags.c_contiguous and array.flags.aligned:
            return array
        twin = np.array(array, order="C")  # ascontiguousarray would keep one that is not aligned
        self.refreshes.append((twin, array))
        return twin
