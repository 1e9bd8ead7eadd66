"""The native core; docs/design/plan.md says what crosses this border."""

from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

Operand = tuple[int, int, int, Sequence[int], Sequence[int]]  # slot, byte offset, dtype code, shape, strides
Instruction = tuple[str, Sequence[Operand], Sequence[Operand], dict[str, Any], str]

@final
class Plan:
    def __init__(
        self,
        slots: Sequence[tuple[Any, ...]],
        instructions: Sequence[Instruction],
        once: int = 0,
        fixed: Sequence[int] = (),
    ) -> None: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def packed_bytes(self) -> int: ...
    def watch(self, tensors: Sequence[Any]) -> None: ...
    def renew(self) -> None: ...
    def describe(self) -> str: ...
    def run(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]: ...
    def timings(self, repeats: int, *arrays: np.ndarray) -> list[tuple[str, str, float]]: ...
    def loop(
        self,
        data: Sequence[np.ndarray],
        index: np.ndarray,
        batch: int,
        begin: int,
        end: int,
        totals: np.ndarray,
        every: int = 0,
    ) -> int: ...

@final
class TraceCall:
    def __init__(
        self,
        plan: Plan,
        arrays: Sequence[np.ndarray],
        grad_enabled: bool,
        guards: Any,
        grads: Sequence[tuple[Any, Any]],
        has_result: bool,
        updated: Sequence[Any],
        versions: Iterator[int],
    ) -> None: ...
    def run(self, *tensors: Any) -> Any: ...

def connect(
    tensor: type,
    call: type,
    node: type,
    edge: type,
    next_number: Any,
    context: Any,
    epoch: Any,
    out_of_range: type,
    number_dtype: Any,
    constant: Any,
) -> None: ...
def read_tape(root: Any, seed: Any) -> tuple[list[Any], bytes, list[Any], list[Any]] | None: ...
def give_gradients(leaves: list[Any], positions: list[int], arrays: tuple[Any, ...]) -> bool: ...
def release_nodes(nodes: list[Any]) -> None: ...

max_eager_arrays: int

class Public:
    __module__: str
    def __init__(
        self, function: Any, explain: Any, spellings: dict[str, str] = {}, remembers: bool = False, alike: bool = False
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def filled(size: tuple, dtype: np.dtype, number: Any) -> np.ndarray | None: ...
def eager(call_id: int, *arrays: np.ndarray) -> Any: ...
def eager_add_view(call_id: int, array: np.ndarray, out: np.ndarray) -> None: ...
def forget() -> None: ...
def eager_add(
    call_id: int,
    arrays: Sequence[np.ndarray],
    kernel: str,
    outs: Sequence[tuple[int, Sequence[int]] | int],
    attrs: dict[str, Any],
    label: str,
    listed: bool = False,
) -> Any: ...
def op_table() -> dict[str, tuple[Any, ...]]: ...
def dtype_table() -> list[tuple[str, int, str]]: ...
def matmul_variants() -> tuple[str, ...]: ...
def set_num_threads(n: int) -> None: ...
def num_threads() -> int: ...
def isa() -> str: ...
def config() -> dict[str, Any]: ...
def set_eager_parallel(on: bool) -> None: ...
