"""Changes of whole batches of images, at random: (N, C, H, W) arrays in, arrays of the same dtype out.

Each takes a NumPy generator, so that the same seed gives the same images. `Compose` makes several one, and `Augmented`
applies it to each batch that a loader gathers.

>>> import numpy as np
>>> from ranvier.data import DataLoader, augment
>>> images, labels = np.zeros((8, 3, 32, 32), np.uint8), np.arange(8)
>>> change = augment.Compose(augment.flip, augment.crop, augment.normalize)
>>> loader = DataLoader(augment.Augmented((images, labels), change, seed=0), batch_size=4, shuffle=True)
>>> [(x.shape, x.dtype) for x, y in loader]
[((4, 3, 32, 32), dtype('float32')), ((4, 3, 32, 32), dtype('float32'))]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .dataset import Dataset, TensorDataset

__all__ = ["Augmented", "Compose", "color_jitter", "crop", "cutout", "flip", "normalize", "rotate"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]  # how bright red, green and blue are: ITU-R BT.601


def _check(name: str, x: np.ndarray) -> None:
    if not isinstance(x, np.ndarray) or x.ndim != 4:
        shape = getattr(x, "shape", type(x).__name__)
        raise ValueError(f"{name}: x is {shape}, must be an array of images (N, C, H, W)")


def _floats(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype.kind != "f" else x


def _like(changed: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Floats as x's dtype: rounded, and within its range, where that is of integers."""
    if x.dtype.kind == "f":
        return changed.astype(x.dtype, copy=False)
    range = np.iinfo(x.dtype)
    return np.clip(np.rint(changed), range.min, range.max).astype(x.dtype)


class Compose:
    """Several changes as one: `Compose(a, b)(x, rng)` is b(a(x, rng), rng). `functools.partial` sets their options.

    >>> from functools import partial
    >>> import numpy as np
    >>> from ranvier.data import augment
    >>> change = augment.Compose(augment.flip, partial(augment.crop, padding=2))
    >>> change(np.zeros((8, 3, 32, 32), np.uint8), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *changes: Callable[..., np.ndarray]):
        self.changes = changes

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for change in self.changes:
            x = change(x, rng)
        return x

    def __repr__(self) -> str:
        names = (getattr(getattr(c, "func", c), "__name__", repr(c)) for c in self.changes)
        return f"Compose({', '.join(names)})"


class Augmented(Dataset):
    """The rows of a dataset in memory, the images of each batch changed at random as it is gathered.

    `dataset` is a `TensorDataset` or a tuple of arrays, images first; `change(x, rng)` may give another dtype. The
    generator begins at `seed` and goes on from batch to batch, so that each pass sees other images.
    """

    def __init__(self, dataset: Any, change: Callable[..., np.ndarray], seed: int = 0):
        self.dataset = TensorDataset(*dataset) if isinstance(dataset, tuple) else dataset
        if not hasattr(self.dataset, "gather"):
            raise TypeError(f"Augmented: {type(dataset).__name__} must be a TensorDataset or a tuple of arrays")
        self.change, self.rng = change, np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        return tuple(part[0] for part in self.gather(np.array([index])))

    def gather(self, indices: np.ndarray) -> tuple:
        """The batch of rows `indices`, changed."""
        x, *rest = self.dataset.gather(indices)
        return self.change(np.asarray(x), self.rng), *rest


def crop(x: np.ndarray, rng: np.random.Generator, padding: int = 4) -> np.ndarray:
    """Each image moved by up to `padding` pixels each way; zeros come in."""
    _check("crop", x)
    n, _, h, w = x.shape
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = (np.asarray(rng.integers(0, 2 * padding + 1, n))[:, None] + np.arange(length) for length in (h, w))
    image = np.arange(n)[:, None, None]
    return np.ascontiguousarray(
        wide.transpose(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None]].transpose(0, 3, 1, 2)
    )


def flip(x: np.ndarray, rng: np.random.Generator, p: float = 0.5) -> np.ndarray:
    """Each image mirrored, left and right exchanged, with probability p."""
    _check("flip", x)
    return np.where((rng.random(len(x)) < p)[:, None, None, None], x[..., ::-1], x)


def cutout(x: np.ndarray, rng: np.random.Generator, size: int = 8) -> np.ndarray:
    """A square of `size` pixels of each image, somewhere, set to 0. DeVries and Taylor, 2017."""
    _check("cutout", x)
    n, _, h, w = x.shape
    top, left = (np.asarray(rng.integers(0, length, n))[:, None] - size // 2 for length in (h, w))
    rows = (np.arange(h) >= top) & (np.arange(h) < top + size)
    columns = (np.arange(w) >= left) & (np.arange(w) < left + size)
    return np.where((rows[:, :, None] & columns[:, None])[:, None], np.zeros((), x.dtype), x)


def rotate(x: np.ndarray, rng: np.random.Generator, degrees: float = 10.0) -> np.ndarray:
    """Each image turned around its middle by up to `degrees` either way, bilinearly; zeros come in."""
    from ..nn import functional as F

    _check("rotate", x)
    n, _, h, w = x.shape
    angle = np.deg2rad(rng.uniform(-degrees, degrees, n))
    turn = np.zeros((n, 2, 3), np.float32)  # of places in [-1, 1], which are not square where the image is not
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle) * h / w, np.sin(angle) * w / h
    floats = _floats(x)
    grid = F.affine_grid(turn.astype(floats.dtype), x.shape, align_corners=False)
    return _like(F.grid_sample(floats, grid, align_corners=False), x)


def color_jitter(
    x: np.ndarray, rng: np.random.Generator, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2
) -> np.ndarray:
    """Each image's brightness, contrast and saturation changed by factors from [1 - b, 1 + b], in this order.

    x f, then mean + (x - mean) f with the image's mean grey, then grey + (x - grey) f at each place. Bytes, or floats in
    [0, 1], which stay in their range. Images of other than 3 channels have no saturation.
    """
    _check("color_jitter", x)
    top = 1.0 if x.dtype.kind == "f" else float(np.iinfo(x.dtype).max)
    out = _floats(x)

    def factors(reach: float) -> np.ndarray:
        return rng.uniform(max(0.0, 1 - reach), 1 + reach, (len(x), 1, 1, 1)).astype(out.dtype)

    def grey() -> np.ndarray:
        return (out * _LUMA).sum(1, keepdims=True, dtype=out.dtype) if x.shape[1] == 3 else out

    out = np.clip(out * factors(brightness), 0, top)
    middle = grey().mean((1, 2, 3), keepdims=True)
    out = np.clip(middle + (out - middle) * factors(contrast), 0, top)
    if x.shape[1] == 3:
        plain = grey()
        out = np.clip(plain + (out - plain) * factors(saturation), 0, top)
    return _like(out, x)


def normalize(x: np.ndarray, rng: Any = None, mean: Any = 0.5, std: Any = 0.5) -> np.ndarray:
    """Bytes as float32, (x / 255 - mean) / std; mean and std are numbers, or one for each channel. Draws nothing.

    >>> import numpy as np
    >>> from ranvier.data import augment
    >>> augment.normalize(np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)).ravel().tolist()
    [-1.0, 1.0]
    """
    _check("normalize", x)
    if x.dtype != np.uint8:
        raise ValueError(f"normalize: x of dtype {x.dtype} must be bytes, uint8")
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
    return x * (1 / (255 * std)) - mean / std
