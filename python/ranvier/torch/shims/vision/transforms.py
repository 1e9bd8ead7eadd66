"""`torchvision.transforms`. A chain without random parts is applied once to a whole data set in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from .... import random as _random
from ....core.tensor import from_numpy as _from_numpy
from ....tensor import Tensor as _Tensor
from . import functional as _F
from .images import size_of as _size_of

__all__ = [
    "CenterCrop", "Compose", "ConvertImageDtype", "Grayscale", "InterpolationMode", "Lambda", "Normalize", "PILToTensor",
    "Pad", "RandomApply", "RandomCrop", "RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip", "Resize",
    "ToPILImage", "ToTensor", "functional",
]  # fmt: skip

functional = _F


class InterpolationMode(Enum):
    """How `Resize` makes pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class _Transform:
    """A picture in, a picture out. `fixed`: the same for the same picture."""

    fixed = False

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({options})"

    def __call__(self, img: Any) -> Any:
        raise NotImplementedError

    def whole(self, pictures: Any) -> Any:
        """The transform of each of many pictures, an array (N, H, W[, C]) of bytes or a tensor (N, C, H, W)."""
        results = [self(picture) for picture in pictures]
        return (
            _from_numpy(np.stack([r.numpy() for r in results]))
            if isinstance(results[0], _Tensor)
            else np.stack(results)
        )


class Compose(_Transform):
    """One after the other."""

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = list(transforms)

    @property
    def fixed(self) -> bool:  # type: ignore[override]
        return all(getattr(t, "fixed", False) for t in self.transforms)

    def __call__(self, img: Any) -> Any:
        for t in self.transforms:
            img = t(img)
        return img

    def whole(self, pictures: Any) -> Any:
        for t in self.transforms:
            pictures = t.whole(pictures)  # type: ignore[attr-defined]
        return pictures

    def __repr__(self) -> str:
        lines = "".join(f"\n    {t}" for t in self.transforms)
        return f"Compose({lines}\n)"


class ToTensor(_Transform):
    """See `functional.to_tensor`."""

    fixed = True

    def __call__(self, pic: Any) -> _Tensor:
        return _F.to_tensor(pic)

    def whole(self, pictures: Any) -> Any:
        planes = pictures[:, None] if pictures.ndim == 3 else pictures.transpose(0, 3, 1, 2)
        scaled = planes.astype(np.float32) / np.float32(255) if pictures.dtype == np.uint8 else planes
        return _from_numpy(np.ascontiguousarray(scaled))


class PILToTensor(_Transform):
    """See `functional.pil_to_tensor`."""

    fixed = True

    def __call__(self, pic: Any) -> _Tensor:
        return _F.pil_to_tensor(pic)


class ToPILImage(_Transform):
    """See `functional.to_pil_image`."""

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return _F.to_pil_image(pic, self.mode)


class ConvertImageDtype(_Transform):
    """Tensors of bytes as floats in [0, 1]."""

    fixed = True

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def __call__(self, image: _Tensor) -> _Tensor:
        scaled = image.dtype == np.uint8 and np.dtype(self.dtype).kind == "f"
        return image.to(self.dtype) / 255 if scaled else image.to(self.dtype)

    whole = __call__  # type: ignore[assignment]


class Normalize(_Transform):
    """See `functional.normalize`."""

    fixed = True

    def __init__(self, mean: Any, std: Any, inplace: bool = False):
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor: _Tensor) -> _Tensor:
        return _F.normalize(tensor, self.mean, self.std, self.inplace)

    whole = __call__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Resize(_Transform):
    """See `functional.resize`."""

    fixed = True

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: Any = True,
    ):
        self.size, self.interpolation, self.max_size, self.antialias = size, interpolation, max_size, antialias

    def __call__(self, img: Any) -> Any:
        return _F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(_Transform):
    """See `functional.center_crop`."""

    fixed = True

    def __init__(self, size: Any):
        self.size = size

    def __call__(self, img: Any) -> Any:
        return _F.center_crop(img, self.size)


class Pad(_Transform):
    """See `functional.pad`."""

    fixed = True

    def __init__(self, padding: Any, fill: float = 0, padding_mode: str = "constant"):
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img: Any) -> Any:
        return _F.pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale(_Transform):
    """See `functional.rgb_to_grayscale`."""

    fixed = True

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return _F.rgb_to_grayscale(img, self.num_output_channels)


class Lambda(_Transform):
    """A function of the user's: it may draw or count, so it is called for each picture."""

    def __init__(self, lambd: Callable):
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)


class RandomCrop(_Transform):
    """A part of this size, its place uniform."""

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: float = 0,
        padding_mode: str = "constant",
    ):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.padding, self.pad_if_needed, self.fill, self.padding_mode = padding, pad_if_needed, fill, padding_mode

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = _F.pad(img, self.padding, self.fill, self.padding_mode)
        height, width = _size_of(img)
        rows, columns = self.size
        if self.pad_if_needed:
            img = _F.pad(img, [max(columns - width, 0), max(rows - height, 0)], self.fill, self.padding_mode)
            height, width = _size_of(img)
        if height < rows or width < columns:
            raise ValueError(f"RandomCrop: size={self.size} is larger than the picture, {(height, width)}")
        if (height, width) == (rows, columns):
            return img
        top = int(_random.randint(0, height - rows + 1, (1,)).item())
        left = int(_random.randint(0, width - columns + 1, (1,)).item())
        return _F.crop(img, top, left, rows, columns)


class RandomApply(_Transform):
    """Several transforms with probability p."""

    def __init__(self, transforms: Sequence[Callable], p: float = 0.5):
        self.transforms, self.p = list(transforms), p

    def __call__(self, img: Any) -> Any:
        if self.p < _random.rand(1).item():
            return img
        for t in self.transforms:
            img = t(img)
        return img


class _RandomFlip(_Transform):
    flip: Callable

    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, img: Any) -> Any:
        return type(self).flip(img) if _random.rand(1).item() < self.p else img


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability p."""

    flip = _F.hflip


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability p."""

    flip = _F.vflip


class RandomRotation(_Transform):
    """By an angle uniform in `degrees`, (-d, d) of one number; nearest pixels, what comes from outside is `fill`."""

    def __init__(
        self, degrees: Any, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False, fill: float = 0
    ):
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        self.interpolation, self.expand, self.fill = interpolation, expand, fill

    def __call__(self, img: Any) -> Any:
        from .images import as_image, pillow

        low, high = self.degrees
        angle = float(_random.uniform(1, float(low), float(high)).item())
        mode = pillow("RandomRotation").Resampling[getattr(self.interpolation, "value", self.interpolation).upper()]
        turned = as_image(img, "RandomRotation").rotate(angle, mode, self.expand, fillcolor=self.fill)
        return np.asarray(turned) if isinstance(img, np.ndarray) else turned
