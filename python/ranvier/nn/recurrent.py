"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their cells for one step."""

from __future__ import annotations

import math
import warnings
from itertools import product
from numbers import Number
from typing import Any

from ..core.errors import DomainError, DTypeError, ShapeError
from ..core.tensor import TensorBase
from ..ops import recurrent as ops
from ..ops.creation import zeros
from ..ops.index import index_select
from ..ops.join import cat, stack
from ..ops.shape import squeeze, unsqueeze
from . import functional as F
from . import init
from ._new import new_parameter
from .functions import dropped_in_time
from .module import Module
from .utils.rnn import PackedSequence

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}  # rows of the weights for one hidden unit
_WEIGHTS = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "w_hr": "weight_hr"}


def _positive(layer: str, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DTypeError(f"{layer}: {name}={value!r} must be an integer")
    if value < 1:
        raise DomainError(f"{layer}: {name}={value} must be positive")
    return value


def _like_weights(layer: str, what: str, x: Any, weight: Any) -> None:
    if not isinstance(x, TensorBase):
        raise DTypeError(f"{layer}: {what} of type {type(x).__name__} must be a Tensor")
    if x.dtype != weight.dtype:
        raise DTypeError(f"{layer}: {what} has dtype {x.dtype} and the weights {weight.dtype}, must be the same")


def _reset(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


# ---------------------------------------------------------------- sequences


class RNNBase(Module):
    """What RNN, LSTM and GRU share. `mode`: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU"."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        name = type(self).__name__
        if mode not in _GATES:
            raise DomainError(f"{name}: mode={mode!r} must be one of {', '.join(_GATES)}")
        if isinstance(dropout, bool) or not isinstance(dropout, Number) or not 0 <= dropout <= 1:  # type: ignore[operator]
            raise DomainError(f"{name}: dropout={dropout!r} must be a probability, in [0, 1]")
        for what, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise DTypeError(f"{name}: {what}={flag!r} must be True or False")
        if proj_size and mode != "LSTM":
            raise DomainError(f"{name}: proj_size={proj_size} is only for LSTM")
        if proj_size < 0 or proj_size >= _positive(name, "hidden_size", hidden_size):
            raise DomainError(f"{name}: proj_size={proj_size} must be in [0, hidden_size={hidden_size})")
        if dropout > 0 and _positive(name, "num_layers", num_layers) == 1:
            warnings.warn(
                f"{name}: dropout={dropout} comes after each layer but the last; with num_layers=1 there is none",
                stacklevel=3,
            )
        self.mode, self.input_size, self.hidden_size = mode, _positive(name, "input_size", input_size), hidden_size
        self.num_layers, self.bias = _positive(name, "num_layers", num_layers), bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        self.proj_size = proj_size
        rows, out = _GATES[mode] * hidden_size, proj_size or hidden_size
        for layer, suffix in self._directions():
            columns = input_size if layer == 0 else out * (2 if bidirectional else 1)
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, out)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for key, shape in shapes.items():
                setattr(self, f"{key}_{suffix}", new_parameter(name, shape, device, dtype))
        self.reset_parameters()

    def _directions(self) -> list[tuple[int, str]]:
        """For each direction of each layer the layer's number and the end of its parameters' names."""
        ends = ("", "_reverse") if self.bidirectional else ("",)
        return [(layer, f"l{layer}{end}") for layer, end in product(range(self.num_layers), ends)]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each direction of each layer."""
        found = [[getattr(self, f"{name}_{end}", None) for name in _WEIGHTS.values()] for _, end in self._directions()]
        return [[w for w in weights if w is not None] for weights in found]

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        _reset(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Does nothing: kernels lay weights out as they need them."""

    # ------------------------------------------------------------------ states

    def _state_sizes(self) -> list[tuple[str, int]]:
        """Name and last axis of each state."""
        out = self.proj_size or self.hidden_size
        return [("h_0", out), ("c_0", self.hidden_size)] if self.mode == "LSTM" else [("h_0", out)]

    def _states(self, hx: Any, input: Any, batch: int, batched: bool) -> tuple:
        """The initial states, each (layers * directions, batch, size), checked; zeros where there are none."""
        name, sizes, count = type(self).__name__, self._state_sizes(), len(self._directions())
        if hx is None:
            return tuple([zeros((count, batch, size), dtype=input.dtype) for _, size in sizes])
        if len(sizes) == 1:
            hx = (hx,)
        elif not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise DTypeError(f"{name}: hx of type {type(hx).__name__} must be a tuple (h_0, c_0)")
        for (what, size), state in zip(sizes, hx):
            _like_weights(name, what, state, self.weight_hh_l0)
            shape = (count, batch, size) if batched else (count, size)
            if tuple(state.shape) != shape:
                axes = "(num_layers * directions, batch, size)" if batched else "(num_layers * directions, size)"
                raise ShapeError(f"{name}: {what}{tuple(state.shape)} must be {axes} = {shape}")
        return tuple(hx) if batched else tuple([unsqueeze(state, 1) for state in hx])

    # ------------------------------------------------------------------ forward

    def _run(self, x: Any, states: tuple, sizes: Any) -> tuple[Any, tuple]:
        """All layers: the hidden states of the last one, and the last states of all."""
        attrs = {"batch_first": sizes is None and bool(self.batch_first)}
        last = []
        directions = self._directions()
        per_layer = 2 if self.bidirectional else 1
        for k, (layer, end) in enumerate(directions):
            weights: dict[str, Any] = {key: getattr(self, f"{name}_{end}", None) for key, name in _WEIGHTS.items()}
            begin = tuple([state[k] for state in states])
            y, *ends = ops.sequence(self.mode, x, begin, sizes, **weights, **attrs, reverse=end.endswith("_reverse"))
            last.append(ends)
            if per_layer == 1:
                x = y
            elif k % 2 == 0:
                first = y
            else:
                x = cat((first, y), -1)
            if (k + 1) % per_layer == 0 and layer + 1 < self.num_layers:
                x = dropped_in_time(lambda x: F.dropout(x, self.dropout, self.training), x, attrs["batch_first"])
        return x, tuple([stack(parts, 0) for parts in zip(*last)])

    def _shown(self, states: tuple) -> Any:
        return states if self.mode == "LSTM" else states[0]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        _like_weights(name, "input", input, self.weight_ih_l0)
        axes = "(N, L, input_size)" if self.batch_first else "(L, N, input_size)"
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input{tuple(input.shape)} must be {axes}, or (L, input_size), with input_size={self.input_size}"
            )
        batched = input.ndim == 3
        x = input if batched else unsqueeze(input, 0 if self.batch_first else 1)
        length, batch = (x.shape[1], x.shape[0]) if self.batch_first else x.shape[:2]
        if length == 0:
            raise ShapeError(f"{name}: input{tuple(input.shape)} must have at least one step")
        y, states = self._run(x, self._states(hx, x, batch, batched), None)
        if not batched:
            y, states = squeeze(y, 0 if self.batch_first else 1), tuple([squeeze(state, 1) for state in states])
        return y, self._shown(states)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[Any, Any]:
        name = type(self).__name__
        data, sizes, order, back = input
        _like_weights(name, "the packed sequence", data, self.weight_ih_l0)
        if data.ndim != 2 or data.shape[1] != self.input_size:
            raise ShapeError(
                f"{name}: the packed sequence's data{tuple(data.shape)} must be (rows, input_size={self.input_size})"
            )
        given = (hx if isinstance(hx, (tuple, list)) else (hx,))[0]
        batch = input.batch() if given is None or given.ndim != 3 else given.shape[1]
        states = self._states(hx, data, batch, True)
        if order is not None and hx is not None:
            states = tuple([index_select(state, 1, order) for state in states])
        y, states = self._run(data, states, sizes)
        if back is not None:
            states = tuple([index_select(state, 1, back) for state in states])
        return PackedSequence(y, sizes, order, back), self._shown(states)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False
        }  # fmt: skip
        return text + "".join([f", {k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v])


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), for each step of each sequence; Elman, 1990.

    Args:
        input_size, hidden_size: features of x_t and of h_t. num_layers: each but the first reads the one below it.
        nonlinearity: "tanh" or "relu". bias: without, there are no b_ih and b_hh.
        batch_first: sequences are (N, L, input_size), not (L, N, input_size); states are not concerned.
        dropout: in training, of the results of each layer but the last. bidirectional: a second network reads each
            sequence from its end, and results of both lie side by side.

    `forward(input, h_0=None)`: `input` (L, N, input_size), (L, input_size) of one sequence, or a PackedSequence
    (`nn.utils.rnn`); h_0 (num_layers * directions, N, hidden_size), zeros if None. Gives the hidden states of the last
    layer, (L, N, directions * hidden_size), and the last ones of all layers, as h_0.

    Parameters: weight_ih_l0 (hidden_size, input_size), weight_hh_l0 (hidden_size, hidden_size), bias_ih_l0, bias_hh_l0, and
    so on, with `_reverse` behind their names for the second direction; they start in U(-b, b), b = 1 / sqrt(hidden_size).

    Raises ShapeError or DTypeError, with the layer, shapes and the rule, before anything is computed.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> y, h = nn.RNN(8, 16, num_layers=2, bidirectional=True)(rv.zeros(5, 3, 8))
    >>> y.shape, h.shape
    ((5, 3, 32), (4, 3, 16))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise DomainError(f"RNN: nonlinearity={nonlinearity!r} must be 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            0, device, dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory; Hochreiter and Schmidhuber, 1997. With i, f, g, o the four parts of
    W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, in this order:

        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),  h_t = sigmoid(o) tanh(c_t)

    Arguments and shapes as in `RNN`, weights have four times as many rows, and states are (h_0, c_0). proj_size: h_t is
    multiplied by weight_hr_l0 (proj_size, hidden_size), and has that many features; Sak et al., 2014.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> y, (h, c) = nn.LSTM(8, 16, batch_first=True)(rv.zeros(3, 5, 8))
    >>> y.shape, h.shape, c.shape
    ((3, 5, 16), (1, 3, 16), (1, 3, 16))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent units; Cho et al., 2014. With r, z, n the three parts of W_ih x_t + b_ih, in this order, and r', z',
    n' those of W_hh h_(t-1) + b_hh:

        z_t = sigmoid(z + z'),  h_t = (1 - z_t) tanh(n + sigmoid(r + r') n') + z_t h_(t-1)

    Arguments and shapes as in `RNN`; weights have three times as many rows.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> y, h = nn.GRU(8, 16)(rv.zeros(5, 3, 8))
    >>> y.shape, h.shape
    ((5, 3, 16), (1, 3, 16))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )


# ---------------------------------------------------------------- cells


class RNNCellBase(Module):
    """What the cells share; `num_chunks`: rows of the weights for one hidden unit."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ):
        name, rows = type(self).__name__, num_chunks * hidden_size
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.weight_ih = new_parameter(name, (rows, input_size), device, dtype)
        self.weight_hh = new_parameter(name, (rows, hidden_size), device, dtype)
        for key in ("bias_ih", "bias_hh"):
            self.register_parameter(key, new_parameter(name, (rows,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        _reset(self, self.hidden_size)

    def _step(self, cell: Any, input: Any, states: Any, names: tuple[str, ...]) -> tuple:
        """`cell` on checked operands, of a batch or of one row: the states after it."""
        name = type(self).__name__
        _like_weights(name, "input", input, self.weight_ih)
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input{tuple(input.shape)} must be (N, input_size) or (input_size), input_size={self.input_size}"
            )
        wanted = (*input.shape[:-1], self.hidden_size)
        if states is None:
            states = tuple([zeros(wanted, dtype=input.dtype) for _ in names])
        for what, state in zip(names, states, strict=True):
            _like_weights(name, what, state, self.weight_hh)
            if tuple(state.shape) != tuple(wanted):
                raise ShapeError(f"{name}: {what}{tuple(state.shape)} must be {wanted}, for input{tuple(input.shape)}")
        alone = input.ndim == 1
        if alone:
            input, states = unsqueeze(input, 0), tuple([unsqueeze(state, 0) for state in states])
        hx = states if len(names) > 1 else states[0]
        out = cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        outs = out if len(names) > 1 else (out,)
        return tuple([squeeze(x, 0) for x in outs]) if alone else outs

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {"bias": True, "nonlinearity": "tanh"}
        return text + "".join([f", {k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k, v) != v])


class RNNCell(RNNCellBase):
    """One step of an `RNN`: `forward(input, hx=None)` of (N, input_size) and (N, hidden_size), or without N, gives the new
    hidden state. Parameters: weight_ih, weight_hh, bias_ih, bias_hh.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.RNNCell(8, 16)(rv.zeros(3, 8)).shape
    (3, 16)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise DomainError(f"RNNCell: nonlinearity={nonlinearity!r} must be 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        cell = ops.rnn_tanh_cell if self.nonlinearity == "tanh" else ops.rnn_relu_cell
        return self._step(cell, input, None if hx is None else (hx,), ("hx",))[0]


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`: `forward(input, (h, c)=None)` gives the new (h, c). A loop over time in Python compiles to a
    plan.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> h, c = nn.LSTMCell(8, 16)(rv.zeros(3, 8))
    >>> h.shape, c.shape
    ((3, 16), (3, 16))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise DTypeError(f"LSTMCell: hx of type {type(hx).__name__} must be a tuple (h, c)")
        h, c = self._step(ops.lstm_cell, input, hx, ("h", "c"))
        return h, c


class GRUCell(RNNCellBase):
    """One step of a `GRU`: `forward(input, hx=None)` gives the new hidden state.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.GRUCell(8, 16)(rv.zeros(3, 8)).shape
    (3, 16)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self._step(ops.gru_cell, input, None if hx is None else (hx,), ("hx",))[0]
