"""`torchvision.utils`: pictures of batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....core.tensor import as_tensor as _as_tensor
from ....core.tensor import from_numpy as _from_numpy
from ....tensor import Tensor as _Tensor
from .images import pillow as _pillow

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Any, nrow: int = 8, padding: int = 2, normalize: bool = False, value_range: tuple | None = None,
    scale_each: bool = False, pad_value: float = 0.0,
) -> _Tensor:  # fmt: skip
    """The pictures of a batch (N, C, H, W) side by side, `nrow` in a row, as one (3, H, W)."""
    pictures = np.stack([_as_tensor(t).detach().numpy() for t in tensor]) if isinstance(tensor, list) else None
    x = _as_tensor(tensor).detach().numpy() if pictures is None else pictures
    x = x[None, None] if x.ndim == 2 else x[None] if x.ndim == 3 else x
    if x.shape[1] == 1:
        x = np.repeat(x, 3, 1)
    if normalize:
        x = np.array(x, np.float32)
        for part in x if scale_each else [x]:
            low, high = value_range or (float(part.min()), float(part.max()))
            part[...] = (part.clip(low, high) - low) / max(high - low, 1e-5)
    if len(x) == 1:
        return _from_numpy(np.ascontiguousarray(x[0]))
    columns = min(nrow, len(x))
    rows = math.ceil(len(x) / columns)
    height, width = x.shape[2] + padding, x.shape[3] + padding
    grid = np.full((x.shape[1], height * rows + padding, width * columns + padding), pad_value, x.dtype)
    for k, picture in enumerate(x):
        top, left = k // columns * height + padding, k % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = picture
    return _from_numpy(grid)


def save_image(tensor: Any, fp: Any, format: str | None = None, **options: Any) -> None:
    """Write `make_grid(tensor, ...)`, of values in [0, 1], as a picture."""
    grid = make_grid(tensor, **options).numpy()
    pixels = (grid * 255 + 0.5).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    _pillow("save_image").fromarray(pixels).save(fp, format=format)
