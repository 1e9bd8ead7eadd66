"""`torchvision.datasets` of files that are there: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .... import random as _random
from ....core.tensor import from_numpy as _from_numpy
from ....data import Dataset as _Dataset
from ....data.files import read_cifar10 as _read_cifar10
from ....data.files import read_cifar100 as _read_cifar100
from ....data.files import read_idx as _read_idx
from ....tensor import Tensor as _Tensor
from .images import pillow as _pillow

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "DatasetFolder",
    "FakeData",
    "FashionMNIST",
    "ImageFolder",
    "KMNIST",
    "MNIST",
    "VisionDataset",
]


class VisionDataset(_Dataset):
    """Pictures and targets, with a transform of each."""

    def __init__(
        self, root: Any = None, transforms: Callable | None = None, transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):  # fmt: skip
        self.root, self.transforms, self.transform, self.target_transform = (
            root,
            transforms,
            transform,
            target_transform,
        )

    def _target(self, target: Any) -> Any:
        return target if self.target_transform is None else self.target_transform(target)


class _InMemory(VisionDataset):
    """Pictures that are one array of bytes, (N, H, W) or (N, H, W, C)."""

    _pictures: np.ndarray
    targets: Any

    def __init__(self, root: Any, transform: Callable | None, target_transform: Callable | None):
        super().__init__(root, None, transform, target_transform)
        self._done: tuple[Any, _Tensor] | None = None  # the transform, and what it made of all pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def _transformed(self) -> _Tensor | None:
        """All pictures as the transform makes them, where it makes the same of the same picture."""
        if not getattr(self.transform, "fixed", False):
            return None
        if self._done is None or self._done[0] is not self.transform:
            whole = self.transform.whole(self._pictures)  # type: ignore[union-attr]
            if not isinstance(whole, _Tensor):
                return None
            self._done = self.transform, whole
        return self._done[1]

    def __getitem__(self, index: Any) -> tuple:
        index = int(index)
        target = self._target(int(self.targets[index]))
        whole = self._transformed()
        if whole is not None:
            return whole[index], target
        picture: Any = self._pictures[index]
        try:
            picture = _pillow("a data set").fromarray(picture)
        except ImportError:
            pass  # transforms take arrays as well
        return (picture if self.transform is None else self.transform(picture)), target

    @property
    def gather(self) -> Any:
        """How a loader takes many rows at once; None where each picture has to be transformed by itself."""
        whole = self._transformed()
        if whole is None or self.target_transform is not None:
            return None
        pictures, targets = whole.numpy(), np.asarray(self.targets, np.int64)
        return lambda rows: (pictures[rows], targets[rows])


def _found(name: str, folder: Path, files: list[str], download: bool) -> list[Path]:
    """The files of a data set; raises FileNotFoundError that names those that are missing."""
    paths = []
    for file in files:
        there = [p for p in (folder / file, folder / f"{file}.gz") if p.is_file()]
        if not there:
            note = "; nothing is downloaded, whatever download says" if download else ""
            raise FileNotFoundError(
                f"{name}: {folder} must hold {', '.join(files)} (or these with .gz); {file} is missing{note}"
            )
        paths.append(there[0])
    return paths


class MNIST(_InMemory):
    """60,000 and 10,000 digits of 28 x 28 (LeCun et al. 1998), from root/MNIST/raw/train-images-idx3-ubyte and its kin, also
    gzipped.
    """

    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four"] + [
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip

    def __init__(
        self, root: Any, train: bool = True, transform: Callable | None = None, target_transform: Callable | None = None,
        download: bool = False,
    ):  # fmt: skip
        super().__init__(root, transform, target_transform)
        self.train = train
        name, part = type(self).__name__, "train" if train else "t10k"
        files = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
        images, labels = _found(name, Path(root) / name / "raw", files, download)
        self._pictures, targets = _read_idx(images), _read_idx(labels)
        if len(self._pictures) != len(targets):
            raise ValueError(f"{name}: {images} holds {len(self._pictures)} pictures, {labels} {len(targets)} labels")
        self.data, self.targets = _from_numpy(self._pictures), _from_numpy(targets.astype(np.int64))

    @property
    def train_data(self) -> _Tensor:
        """The old name of `data`."""
        return self.data

    @property
    def train_labels(self) -> _Tensor:
        """The old name of `targets`."""
        return self.targets

    test_data, test_labels = train_data, train_labels

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format (Xiao et al. 2017), from root/FashionMNIST/raw."""

    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip


class KMNIST(MNIST):
    """Cursive Japanese characters in MNIST's format (Clanuwat et al. 2018), from root/KMNIST/raw."""

    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class CIFAR10(_InMemory):
    """50,000 and 10,000 pictures of 32 x 32 in 10 classes (Krizhevsky 2009), from root/cifar-10-batches-py."""

    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    _folder, _read = "cifar-10-batches-py", staticmethod(_read_cifar10)

    def __init__(
        self, root: Any, train: bool = True, transform: Callable | None = None, target_transform: Callable | None = None,
        download: bool = False,
    ):  # fmt: skip
        super().__init__(root, transform, target_transform)
        self.train = train
        folder = Path(root) / self._folder
        if not folder.is_dir():
            raise FileNotFoundError(f"{type(self).__name__}: {folder} is missing; nothing is downloaded")
        pictures, labels = self._read(folder, train)
        self._pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
        self.data, self.targets = self._pictures, labels.tolist()

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}


class CIFAR100(CIFAR10):
    """The same in 100 classes, from root/cifar-100-python."""

    _folder, _read = "cifar-100-python", staticmethod(_read_cifar100)
    classes = []


class FakeData(VisionDataset):
    """Random pictures and labels, the same for the same number."""

    def __init__(
        self, size: int = 1000, image_size: tuple = (3, 224, 224), num_classes: int = 10, transform: Callable | None = None,
        target_transform: Callable | None = None, random_offset: int = 0,
    ):  # fmt: skip
        super().__init__(None, None, transform, target_transform)
        self.size, self.image_size, self.num_classes, self.random_offset = size, image_size, num_classes, random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple:
        if index >= self.size:
            raise IndexError(f"FakeData: index {index} is not below {self.size}")
        state = _random.get_rng_state()
        _random.manual_seed(index + self.random_offset)
        pixels = _random.randn(*self.image_size)
        target = int(_random.randint(0, self.num_classes, (1,)).item())
        _random.set_rng_state(state)
        picture = (pixels.numpy() * 255).astype(np.int64).astype(np.uint8).transpose(1, 2, 0)
        image: Any = _pillow("FakeData").fromarray(np.ascontiguousarray(picture))
        return (image if self.transform is None else self.transform(image)), self._target(target)


_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class DatasetFolder(VisionDataset):
    """Files of a folder with one folder a class, in alphabetical order."""

    def __init__(
        self, root: Any, loader: Callable, extensions: tuple | None = None, transform: Callable | None = None,
        target_transform: Callable | None = None, is_valid_file: Callable | None = None,
    ):  # fmt: skip
        super().__init__(root, None, transform, target_transform)
        self.loader = loader
        folder = Path(root)
        if not folder.is_dir():
            raise FileNotFoundError(f"{type(self).__name__}: {root} is missing; nothing is downloaded")
        self.classes = sorted(p.name for p in folder.iterdir() if p.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"{type(self).__name__}: {root} holds no folders, one for each class")
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        valid = is_valid_file or (lambda path: path.lower().endswith(extensions or _SUFFIXES))
        self.samples = [
            (str(path), number)
            for name, number in self.class_to_idx.items()
            for path in sorted((folder / name).rglob("*"))
            if path.is_file() and valid(str(path))
        ]
        self.imgs, self.targets = self.samples, [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple:
        path, target = self.samples[index]
        sample = self.loader(path)
        return (sample if self.transform is None else self.transform(sample)), self._target(target)


def _open(path: str) -> Any:
    with _pillow("ImageFolder").open(path) as image:
        return image.convert("RGB")


class ImageFolder(DatasetFolder):
    """Pictures of a folder with one folder a class; needs Pillow."""

    def __init__(
        self, root: Any, transform: Callable | None = None, target_transform: Callable | None = None,
        loader: Callable = _open, is_valid_file: Callable | None = None,
    ):  # fmt: skip
        extensions = None if is_valid_file else _SUFFIXES
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file)
