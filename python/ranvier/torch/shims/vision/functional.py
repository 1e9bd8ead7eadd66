"""`torchvision.transforms.functional`: of Pillow's images, arrays of bytes and tensors (..., H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....core.errors import ShapeError as _ShapeError
from ....core.tensor import from_numpy as _from_numpy
from ....nn import functional as _F
from ....tensor import Tensor as _Tensor
from .images import as_array as _as_array
from .images import as_image as _as_image
from .images import pillow as _pillow
from .images import size_of as _size_of

__all__ = [
    "center_crop", "crop", "hflip", "normalize", "pad", "pil_to_tensor", "resize", "rgb_to_grayscale", "to_grayscale",
    "to_pil_image", "to_tensor", "vflip",
]  # fmt: skip


def _planes(pic: Any, name: str) -> np.ndarray:
    """A picture (H, W) or (H, W, C) as (C, H, W)."""
    array = _as_array(pic)
    if array.ndim not in (2, 3):
        raise _ShapeError(f"{name}: a picture has 2 or 3 axes, this one {array.ndim}: {array.shape}")
    return np.ascontiguousarray((array[:, :, None] if array.ndim == 2 else array).transpose(2, 0, 1))


def to_tensor(pic: Any) -> _Tensor:
    """A picture (H, W) or (H, W, C) as (C, H, W): bytes as float32 in [0, 1], other values as they are."""
    planes = _planes(pic, "to_tensor")
    return _from_numpy(planes.astype(np.float32) / np.float32(255) if planes.dtype == np.uint8 else planes)


def pil_to_tensor(pic: Any) -> _Tensor:
    """A picture as (C, H, W) of bytes."""
    return _from_numpy(_planes(pic, "pil_to_tensor"))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """Pillow's image of a tensor (C, H, W) in [0, 1], or of an array of bytes."""
    if isinstance(pic, _Tensor):
        array = pic.detach().numpy()
        array = array if array.ndim == 3 else array[None]
        if array.dtype != np.uint8:
            array = (array * 255).astype(np.uint8)
        pic = array[0] if len(array) == 1 else array.transpose(1, 2, 0)
    return _pillow("to_pil_image").fromarray(np.ascontiguousarray(pic), mode)


def normalize(tensor: _Tensor, mean: Any, std: Any, inplace: bool = False) -> _Tensor:
    """(tensor - mean) / std, a number for each channel of (..., C, H, W)."""
    mean_, std_ = (_from_numpy(np.asarray(v, tensor.dtype).reshape(-1, 1, 1)) for v in (mean, std))
    if (std_ == 0).any():
        raise ValueError(f"normalize: std={std} must not have zeros")
    return tensor.sub_(mean_).div_(std_) if inplace else (tensor - mean_) / std_


def resize(
    img: Any, size: Any, interpolation: Any = "bilinear", max_size: int | None = None, antialias: Any = True
) -> Any:
    """To H and W, or the shorter side to one number."""
    height, width = _size_of(img)
    if isinstance(size, Sequence) and len(size) == 1:
        size = size[0]
    if isinstance(size, Sequence):
        new = (int(size[0]), int(size[1]))
    elif height <= width:
        new = (int(size), int(size * width / height))
    else:
        new = (int(size * height / width), int(size))
    mode = getattr(interpolation, "value", interpolation)
    if isinstance(img, _Tensor):
        smooth = bool(antialias) and mode in ("bilinear", "bicubic")
        batch = _F.interpolate(img.unsqueeze(0), new, mode=mode, **({"antialias": True} if smooth else {}))
        return batch.squeeze(0)
    if new == (height, width):
        return img
    filters = _pillow("resize").Resampling
    image = _as_image(img, "resize").resize(new[::-1], filters[str(mode).upper()])
    return np.asarray(image) if isinstance(img, np.ndarray) else image


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of this size from (top, left) on."""
    if isinstance(img, np.ndarray):
        return img[top : top + height, left : left + width]
    if isinstance(img, _Tensor):
        return img[..., top : top + height, left : left + width]
    return img.crop((left, top, left + width, top + height))


def center_crop(img: Any, output_size: Any) -> Any:
    """The part of this size in the middle."""
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size) * (3 - len(output_size))
    height, width = _size_of(img)
    if size[0] > height or size[1] > width:
        down, right = max(size[0] - height, 0), max(size[1] - width, 0)
        img = pad(img, [right // 2, down // 2, (right + 1) // 2, (down + 1) // 2])
        height, width = _size_of(img)
    return crop(img, round((height - size[0]) / 2), round((width - size[1]) / 2), size[0], size[1])


def pad(img: Any, padding: Any, fill: float = 0, padding_mode: str = "constant") -> Any:
    """padding: of all sides, of (left and right, top and bottom), or of (left, top, right, bottom)."""
    sides = [padding] * 4 if isinstance(padding, int) else list(padding) * (4 // len(padding))
    left, top, right, bottom = sides
    if isinstance(img, _Tensor):
        mode = {"edge": "replicate", "symmetric": "circular"}.get(padding_mode, padding_mode)
        return _F.pad(img, (left, right, top, bottom), mode, **({"value": fill} if mode == "constant" else {}))
    array = _as_array(img)
    widths = [(top, bottom), (left, right), *[(0, 0)] * (array.ndim - 2)]
    options: Any = {"constant_values": fill} if padding_mode == "constant" else {}
    array = np.pad(array, widths, padding_mode, **options)  # type: ignore[call-overload]
    return array if isinstance(img, np.ndarray) else _pillow("pad").fromarray(array)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    if isinstance(img, _Tensor):
        return img.flip(-1)
    return img[:, ::-1] if isinstance(img, np.ndarray) else img.transpose(_pillow("hflip").Transpose.FLIP_LEFT_RIGHT)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    if isinstance(img, _Tensor):
        return img.flip(-2)
    return img[::-1] if isinstance(img, np.ndarray) else img.transpose(_pillow("vflip").Transpose.FLIP_TOP_BOTTOM)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """0.299 R + 0.587 G + 0.114 B, once or three times."""
    if isinstance(img, _Tensor):
        r, g, b = img.unbind(-3)
        gray = (0.2989 * r + 0.587 * g + 0.114 * b).to(img.dtype).unsqueeze(-3)
        return gray if num_output_channels == 1 else gray.expand(*img.shape)
    image = _as_image(img, "to_grayscale").convert("L")
    array = np.asarray(image)
    if num_output_channels == 3:
        array = np.stack([array] * 3, 2)
    return array if isinstance(img, np.ndarray) else _pillow("to_grayscale").fromarray(array)


to_grayscale = rgb_to_grayscale
