"""Networks made cheaper: quantisation, pruning, distillation, low rank, and a report of what each has cost."""

from ..core.namespace import listing as _listing
from .aware import fake_quantize, quantization_aware
from .common import notes
from .distill import DistillationTrainer
from .low_rank import LowRankLinear, low_rank
from .prune import GradualPruning, Masks, prune
from .quantize import load_quantized, quantize
from .quantized import PackedLinear, QuantizedConv, QuantizedLayer, QuantizedLinear
from .report import Comparison, report
from .shrink import shrink
from .sparse import SparseLinear, sparse

__all__ = [
    "Comparison", "DistillationTrainer", "GradualPruning", "LowRankLinear", "Masks", "PackedLinear", "QuantizedConv",
    "QuantizedLayer", "QuantizedLinear", "SparseLinear", "fake_quantize", "load_quantized", "low_rank", "notes", "prune",
    "quantization_aware", "quantize", "report", "shrink", "sparse",
]  # fmt: skip

__dir__ = _listing(globals())
