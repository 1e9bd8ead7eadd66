"""Networks made cheaper: quantisation, pruning, distillation, low rank, and a report of what each has cost."""

from ..core.namespace import listing as _listing
from .aware import fake_quantize, quantization_aware
from .common import notes
from .quantize import load_quantized, quantize
from .quantized import PackedLinear, QuantizedConv, QuantizedLayer, QuantizedLinear

__all__ = [
    "PackedLinear", "QuantizedConv", "QuantizedLayer", "QuantizedLinear", "fake_quantize", "load_quantized", "notes",
    "quantization_aware", "quantize",
]  # fmt: skip

__dir__ = _listing(globals())
