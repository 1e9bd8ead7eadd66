"""Pictures as transforms take them: Pillow's images, or arrays (H, W) and (H, W, C) of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np


def pillow(name: str) -> Any:
    """Pillow's Image module; `name` asks for it."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{name} needs Pillow: pip install 'ranvier[images]'") from None
    return Image


def as_image(picture: Any, name: str) -> Any:
    """A picture as Pillow's image."""
    return pillow(name).fromarray(picture) if isinstance(picture, np.ndarray) else picture


def as_array(picture: Any) -> np.ndarray:
    """A picture's bytes, (H, W) or (H, W, C)."""
    return picture if isinstance(picture, np.ndarray) else np.asarray(picture)


def size_of(picture: Any) -> tuple[int, int]:
    """H and W of a picture or of a tensor (..., H, W)."""
    if isinstance(picture, np.ndarray):
        return picture.shape[0], picture.shape[1]
    if hasattr(picture, "getbands"):
        return picture.size[1], picture.size[0]
    return picture.shape[-2], picture.shape[-1]
