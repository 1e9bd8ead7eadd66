"""A function of Ranvier as native instructions alone, without the call from Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .runner import Contender


def in_plan(
    fn: Callable, tensors: list, copies: int = 1, variant: int = 0, frozen: bool = False
) -> tuple[Contender, list[np.ndarray]]:
    """`fn(*tensors)` as a plan of `copies` times its instructions, and the arrays it writes: no memory is allocated.

    variant: of the matrix products in it. frozen: what `fn` captures does not change; raises ValueError where
    no copy of it pays.
    """
    import ranvier as rv
    from ranvier import _native
    from ranvier.backends import default_backend
    from ranvier.graph.lower import Lowering

    graph = rv.compile(fn, frozen=frozen).traced(*tensors).program.graph
    slots, instructions, once, fixed = Lowering(graph, default_backend().rows).plan()
    results = [rv.zeros(v.shape, dtype=v.dtype).numpy() for v in graph.outputs]
    memory = iter(results)
    slots = [("bound", next(memory)) if slot[0] == "output" else slot for slot in slots]
    if variant:
        instructions = [(*head, {**attrs, "variant": variant}, label) for *head, attrs, label in instructions]
    repeated = instructions[:once] + instructions[once:] * copies
    plan, arrays = _native.Plan(slots, repeated, once, fixed), [t.numpy() for t in tensors]
    if frozen and not plan.packed_bytes:
        raise ValueError("nothing is packed")

    def run(times: int) -> None:
        for _ in range(times):
            plan.run(*arrays)

    return run, results
