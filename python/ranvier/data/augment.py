"""Changes of whole batches of images, at random: (N, C, H, W) arrays in, arrays of the same dtype out.

Each takes a NumPy generator, so that the same seed gives the same images.

>>> import numpy as np
>>> from ranvier.data import augment
>>> rng = np.random.default_rng(0)
>>> augment.flip(augment.crop(np.zeros((8, 3, 32, 32), np.uint8), rng), rng).shape
(8, 3, 32, 32)
"""

from __future__ import annotations

import numpy as np

__all__ = ["crop", "cutout", "flip"]


def _check(name: str, x: np.ndarray) -> None:
    if not isinstance(x, np.ndarray) or x.ndim != 4:
        shape = getattr(x, "shape", type(x).__name__)
        raise ValueError(f"{name}: x is {shape}, must be an array of images (N, C, H, W)")


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
