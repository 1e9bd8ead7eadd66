"""Quantisation after training, and files of quantised models."""

from __future__ import annotations

import time
import warnings
from statistics import median
from typing import Any

from ..core.context import no_grad
from ..core.errors import DomainError, StateError
from ..core.tensor import as_tensor
from ..nn import Identity, Linear, Module, Parameter
from ..ops.int8 import MAX_TERMS
from ..saving import load as load_file
from .aware import AwareLayer, learnt_ranges, plain_again
from .calibrate import input_ranges
from .common import batches_of, note, owned_copy, plain_layer, replaced, require_module
from .fold import NORMS, folded
from .quantized import PackedLinear, QuantizedConv, QuantizedLayer, QuantizedLinear, restored, stored_range

_ACTIVATIONS = ("int8", "dynamic", None)
_WEIGHTS = ("int8", "int4")
_FEW_CHANNELS = 4  # in a group: fewer do not fill a word, and floats are faster


def quantize(
    model: Module,
    data: Any,
    weights: str = "int8",
    activations: str | None = "int8",
    per_channel: bool = True,
    *,
    calibration: str = "minmax",
    percentile: float = 99.99,
    group_size: int | None = None,
    skip: Any = (),
) -> Module:
    """A copy of `model` for inference, whose linear layers and convolutions multiply numbers of 8 bits (or 4).

    A weight is stored as round(w / s), s = max |w| / 127 of its output channel; an input as round(x / t) + z with t and z
    from its range, so that y = s t sum (q - z) w + bias with an exact sum. Layers keep their names. Batch norms are folded
    into the layers in front of them first. A model from `quantization_aware` takes the ranges that it has learnt.

    Args:
        data: sample inputs: an array, a tuple of batches, or a loader of batches (x, ..., y), of which y is left out. Needed
            for static activations; of the others it shows which layers are called, what folds, and what is faster.
        weights: "int8", or "int4" with activations None.
        activations: "int8": static, by ranges found on `data`. "dynamic": each row (each image) by its own range. None: only
            the weights are stored in few bits: for layers that one row goes through, where reading them is all the work.
        per_channel: a scale for each output channel, or one for the whole weight.
        calibration: the range of static activations: "minmax", "percentile" (of magnitudes), or "entropy" (the least
            Kullback-Leibler divergence).
        group_size: with activations None how many weights along a row share a scale; None: 32 for int4, a row for int8.
        skip: names of layers to leave as they are.

    Where the result is slower than the model on the first batch of data, a warning says so. What was left in float32 and
    why: `rv.compress.notes(result)`.

    Raises:
        DomainError: calibration without data, or data with NaN. StateError: a model that is quantised already.
        The model stays as it was.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    >>> x = rv.randn(100, 64)
    >>> small = rv.compress.quantize(model, x)
    >>> float((small(x) - model(x)).abs().max()) < 0.1
    True
    """
    require_module("quantize", model)
    if weights not in _WEIGHTS or activations not in _ACTIVATIONS:
        raise DomainError(
            f"quantize: weights={weights!r} must be 'int8' or 'int4', and activations={activations!r} 'int8', 'dynamic' or "
            "None"
        )
    if weights == "int4" and activations is not None:
        raise DomainError(f"quantize: weights='int4' needs activations=None, not {activations!r}")
    if group_size is not None and (activations is not None or group_size < 8 or group_size % 8):
        raise DomainError(f"quantize: group_size={group_size} must be a multiple of 8, with activations=None")
    _require_plain("quantize", model)
    aware = any(isinstance(m, AwareLayer) for m in model.modules())
    static = activations == "int8"
    batches = batches_of("quantize", data) if data is not None or (static and not aware) else []
    known = learnt_ranges(model) if aware and static else {}
    result = plain_again(owned_copy(model)).eval()
    if batches:
        result = folded(result, batches[0])
    skip = {skip} if isinstance(skip, str) else set(skip)
    layers = {name: m for name, m in result.named_modules() if plain_layer(m)}
    if unknown := skip - layers.keys():
        raise DomainError(f"quantize: skip={sorted(unknown)} are no linear layers or convolutions of the model")
    if not layers:
        raise DomainError(f"quantize: {type(model).__name__} has no linear layers or convolutions")
    ranges = input_ranges(result, layers, batches, calibration, percentile) if batches else {}
    ranges.update(known)
    left = []
    for name, layer in layers.items():
        reason = "it was to be skipped" if name in skip else _reason(layer, activations)
        if reason is None and name not in ranges and (static or batches):
            reason = "it is not called with the data (whoever holds it may read its weight)"
        if reason:
            left.append(f"layer {name!r} stays in float32: {reason}")
            continue
        result = replaced(result, name, _made(layer, weights, activations, per_channel, ranges.get(name), group_size))
    result.eval()
    left += [
        f"layer {name!r} stays in float32: it is a {type(m).__name__}, no linear layer or convolution"
        for name, m in result.named_modules()
        if name not in layers and any(p.ndim > 1 for p in m.parameters(recurse=False))
    ]
    note(result, left)
    if batches:
        _warn_if_slower(model, result, batches[0])
    return result


def _require_plain(name: str, model: Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, QuantizedLayer):
            raise StateError(f"{name}: the model is quantised already: {path or 'it'} is a {type(module).__name__}")


def _reason(layer: Any, activations: str | None) -> str | None:
    """Why a layer cannot be quantised, or should not."""
    if layer.weight.dtype != "float32":
        return f"its weights are {layer.weight.dtype}"
    if not layer.weight.numel():
        return "it has no weights"
    if layer.weight[0].numel() > MAX_TERMS:
        return f"sums of more than {MAX_TERMS} products do not fit 32 bits"
    if isinstance(layer, Linear):
        return None
    if activations is None:
        return "weights alone are for linear layers"
    if layer.groups > 1 and layer.in_channels // layer.groups < _FEW_CHANNELS:
        return f"{layer.in_channels // layer.groups} channels in a group are slower as bytes"
    return None


def _made(
    layer: Any, weights: str, activations: str | None, per_channel: bool, seen: Any, group_size: int | None
) -> QuantizedLayer:
    if activations is None:
        bits = 8 if weights == "int8" else 4
        return PackedLinear(layer, bits, 32 if group_size is None and bits == 4 else group_size)
    kind: Any = QuantizedLinear if isinstance(layer, Linear) else QuantizedConv
    return kind(layer, stored_range(*seen) if activations == "int8" else None, per_channel)


def _seconds(model: Module, batch: tuple[Any, ...]) -> float:
    began = time.perf_counter()
    model(*batch)
    return time.perf_counter() - began


def _warn_if_slower(before: Module, after: Module, batch: tuple[Any, ...]) -> None:
    from ..train.predictor import evaluating

    with evaluating(before), evaluating(after), no_grad():
        pairs = [(_seconds(before, batch), _seconds(after, batch)) for _ in range(9)][2:]
    was, now = (median(times) for times in zip(*pairs))
    if now > was:
        rows = batch[0].shape[0] if batch[0].ndim else 1
        warnings.warn(
            f"quantize: on {rows} rows the quantised model takes {now / was:.2f} times the time of the float32 one",
            stacklevel=3,
        )


def load_quantized(model: Module, path: Any) -> Module:
    """A copy of `model`, in float32 and of the same architecture, with the quantised layers that a quantised model has saved
    (`quantized.save(path)`).

    >>> import os, tempfile, ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(512, 512))
    >>> small = rv.compress.quantize(model, rv.randn(100, 512))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small.save(os.path.join(folder, "small.safetensors"))
    ...     again = rv.compress.load_quantized(model, os.path.join(folder, "small.safetensors"))
    >>> x = rv.randn(3, 512)
    >>> bool((again(x) == small(x)).all())
    True
    """
    require_module("load_quantized", model)
    _require_plain("load_quantized", model)
    state = load_file(path)
    if not isinstance(state, dict):
        raise StateError(f"load_quantized: {path} holds no state of a module")
    result = owned_copy(model).eval()
    for name, layer in list(result.named_modules()):
        prefix = f"{name}." if name else ""
        own = {key[len(prefix) :]: as_tensor(value) for key, value in state.items() if key.startswith(prefix)}
        own = {key: value for key, value in own.items() if "." not in key}
        if plain_layer(layer) and "scale" in own and own["weight"].dtype == "uint8":
            result = replaced(result, name, restored(layer, own))
        elif plain_layer(layer) and layer.bias is None and "bias" in own:  # of a folded batch norm
            layer.bias = Parameter(own["bias"])
        elif isinstance(layer, NORMS) and not own and any(True for _ in layer.state_dict()):
            result = replaced(result, name, Identity())
    result.load_state_dict(state)
    return result.eval()
