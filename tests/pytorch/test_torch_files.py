"""PyTorch's files, and torchvision's transforms and data sets."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranvier as rv
from ranvier.data import DataLoader


def archive(content: bytes, **storages: bytes) -> io.BytesIO:
    """A file as PyTorch writes one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("archive/data.pkl", content)
        z.writestr("archive/byteorder", "little")
        for key, data in storages.items():
            z.writestr(f"archive/data/{key}", data)
    file.seek(0)
    return file


class Named:
    """Pickled as a call of `module.name`."""

    def __init__(self, module: str, name: str, *args: Any):
        self.module, self.name, self.args = module, name, args


class Writer(pickle._Pickler):  # type: ignore[name-defined]  # Python's own in Python: names may be written that are not here
    def save_named(self, value: Named) -> None:
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        if value.args:
            self.save(value.args)
            self.write(b"R")

    def persistent_id(self, value: Any) -> Any:
        return value[1:] if isinstance(value, tuple) and value[:1] == ("persistent",) else None

    dispatch = {**pickle._Pickler.dispatch, Named: save_named}  # type: ignore[attr-defined]


def written(value: Any) -> bytes:
    file = io.BytesIO()
    Writer(file, 2).dump(value)
    return file.getvalue()


def tensor(kind: str, key: str, offset: int, size: tuple, stride: tuple, count: int = 6) -> Named:
    storage = ("persistent", "storage", Named("torch", kind), key, "cpu", count)
    return Named("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, {})


def test_reads_pytorch_s_files(door: Any) -> None:
    numbers = np.arange(6, dtype="<f4")
    state = {
        "w": tensor("FloatStorage", "0", 0, (2, 3), (3, 1)),
        "t": tensor("FloatStorage", "0", 1, (2,), (3,)),
        "epoch": 3,
    }
    loaded = door.load(archive(written(state), **{"0": numbers.tobytes()}))
    assert loaded["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and loaded["t"].tolist() == [1, 4] and loaded["epoch"] == 3
    half = door.load(archive(written(tensor("BFloat16Storage", "0", 0, (2,), (1,), 2)), **{"0": b"\x80\x3f\x20\xc0"}))
    assert half.tolist() == [1.0, -2.5] and half.dtype == rv.float32


@pytest.mark.parametrize(
    "content, says",
    [
        (written(Named("os", "system", "true")), "os.system is not read: it may run code"),
        (written(Named("torch.nn.modules.linear", "Linear")), "torch.nn.modules.linear.Linear is not read"),
        (written(tensor("FloatStorage", "0", 0, (2, 4), (4, 1))), "reaches beyond its storage"),
        (written(tensor("FloatStorage", "0", -1, (2,), (1,))), "reaches beyond its storage"),
        (written(tensor("FloatStorage", "0", 0, (2,), (1,), 7)), "has 6 elements, must have 7"),
        (written(tensor("QInt8Storage", "0", 0, (2,), (1,))), "QInt8Storage is not read"),
        (b"\x80\x02", "no file of tensors"),
    ],
)
def test_refuses_what_may_run(door: Any, content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        door.load(archive(content, **{"0": np.arange(6, dtype="<f4").tobytes()}))


def test_refuses_other_files(door: Any, tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="a pickle is not read"):
        door.load(tmp_path / "old.pt")
    with pytest.raises(ValueError):
        door.load(io.BytesIO(b"PK\x03\x04 and then nothing"))
    with pytest.raises(rv.DTypeError, match="save its state_dict"):
        door.save(rv.nn.Linear(1, 1), tmp_path / "m.pt")


def test_own_files_round(door: Any, tmp_path: Path) -> None:
    state = {"model": rv.nn.Linear(2, 1).state_dict(), "epoch": 4}
    door.save(state, tmp_path / "x.pt")
    back = door.load(tmp_path / "x.pt", map_location="cpu", weights_only=True)
    assert back["epoch"] == 4 and (back["model"]["weight"] == state["model"]["weight"]).all()


def test_reads_what_pytorch_wrote(door: Any, torch: Any, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = {"model": model.state_dict(), "x": [torch.arange(6).view(2, 3).t(), torch.tensor(True)], "lr": 0.1}
    torch.save(state, tmp_path / "x.pt")
    ours = door.load(tmp_path / "x.pt")
    assert {k: v.tolist() for k, v in ours["model"].items()} == {k: v.tolist() for k, v in state["model"].items()}
    assert ours["x"][0].tolist() == [[0, 3], [1, 4], [2, 5]] and ours["x"][1].item() is True and ours["lr"] == 0.1
    mine = rv.nn.Sequential(rv.nn.Conv2d(1, 2, 3), rv.nn.BatchNorm2d(2))
    mine.load_state_dict(ours["model"])


# ---------------------------------------------------------------- torchvision


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 6)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (count, 28, 28), np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 10, count, np.uint8))))
    return tmp_path


def test_data_set_and_fixed_transforms(door: Any, digits: Path) -> None:
    """A chain without random parts gives the same at once for all pictures as for each."""
    vision = door.torchvision
    t = vision.transforms
    chain = t.Compose([t.Resize(14), t.CenterCrop(12), t.ToTensor(), t.Normalize((0.5,), (0.25,))])
    data = vision.datasets.MNIST(digits, train=True, transform=chain, download=True)
    plain = vision.datasets.MNIST(str(digits), train=True)
    assert len(data) == 20 and data.data.shape == (20, 28, 28) and data.targets.dtype == rv.int64
    for k in (0, 19):
        x, label = data[k]
        assert x.shape == (1, 12, 12) and label == int(plain.targets[k]) == plain[k][1]
        assert np.allclose(x, chain(plain[k][0]), atol=1e-6)
    (x, y), *_ = DataLoader(data, batch_size=4)
    assert x.shape == (4, 1, 12, 12) and x.dtype == rv.float32 and y.tolist() == data.targets[:4].tolist()
    assert (x[2] == data[2][0]).all()
    with pytest.raises(
        FileNotFoundError, match="FashionMNIST/raw must hold train-images-idx3-ubyte.*nothing is downloaded"
    ):
        vision.datasets.FashionMNIST(digits, download=True)
    assert vision.datasets.MNIST(digits, train=False).test_labels.shape == (6,)


def test_random_transforms_draw_each_time(door: Any, digits: Path) -> None:
    t = door.torchvision.transforms
    chain = t.Compose([t.RandomCrop(28, padding=4), t.RandomHorizontalFlip(), t.ToTensor()])
    data = door.torchvision.datasets.MNIST(digits, transform=chain)
    assert not chain.fixed and data.gather is None
    door.manual_seed(0)
    first = [data[0][0].numpy().tobytes() for _ in range(4)]
    door.manual_seed(0)
    assert [data[0][0].numpy().tobytes() for _ in range(4)] == first and len(set(first)) > 1


def test_transforms_of_tensors_arrays_and_images(door: Any) -> None:
    from PIL import Image

    t, f = door.torchvision.transforms, door.torchvision.transforms.functional
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    for change in (t.CenterCrop(3), t.Pad(2), t.Pad((1, 2)), t.Grayscale(3), t.CenterCrop((7, 5)), f.hflip, f.vflip):
        by_array, by_image = change(picture), change(Image.fromarray(picture))
        assert (np.asarray(by_array) == np.asarray(by_image)).all(), change
    x = f.to_tensor(picture)
    assert x.shape == (3, 5, 7) and x[2, 0, 1].item() == np.float32(5 / 255)
    assert (f.to_tensor(f.hflip(picture)) == f.hflip(x)).all()
    assert (f.crop(x, 1, 2, 3, 4) == f.to_tensor(f.crop(picture, 1, 2, 3, 4))).all()
    assert (np.asarray(f.to_pil_image(x)) == picture).all()
    assert f.resize(x, 10).shape == (3, 10, 14) and f.resize(picture, (4, 4)).shape == (4, 4, 3)
    with pytest.raises(ValueError, match="zeros"):
        f.normalize(x, [0.0] * 3, [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="larger than the picture"):
        t.RandomCrop(9)(picture)
    with pytest.raises(rv.ShapeError, match="2 or 3 axes"):
        f.to_tensor(np.zeros(3))


def test_grids_and_pictures(door: Any, tmp_path: Path) -> None:
    from PIL import Image

    batch = rv.linspace(0, 1, 5 * 1 * 2 * 3).reshape(5, 1, 2, 3)
    grid = door.torchvision.utils.make_grid(batch, nrow=3, padding=1, pad_value=0.5)
    assert grid.shape == (3, 7, 13) and grid[0, 1, 1] == batch[0, 0, 0, 0] and grid[0, 4, 5] == batch[4, 0, 0, 0]
    assert grid[0, 0, 0] == 0.5
    door.torchvision.utils.save_image(batch, tmp_path / "x.png", nrow=5, normalize=True)
    assert Image.open(tmp_path / "x.png").size == (5 * 5 + 2, 2 + 4)


def test_folders_and_fakes(door: Any, tmp_path: Path) -> None:
    from PIL import Image

    for name, shade in (("cat", 10), ("ant", 200)):
        os.makedirs(tmp_path / name)
        Image.new("RGB", (4, 3), (shade, 0, 0)).save(tmp_path / name / "1.png")
    data = door.torchvision.datasets.ImageFolder(tmp_path, transform=door.torchvision.transforms.ToTensor())
    assert (
        data.classes == ["ant", "cat"]
        and [y for _, y in data] == [0, 1]
        and data[1][0][0, 0, 0] == np.float32(10 / 255)
    )
    with pytest.raises(FileNotFoundError, match="no folders"):
        door.torchvision.datasets.ImageFolder(tmp_path / "cat")
    fake = door.torchvision.datasets.FakeData(3, (3, 4, 5), 7, door.torchvision.transforms.ToTensor())
    assert fake[1][0].shape == (3, 4, 5) and (fake[1][0] == fake[1][0]).all() and 0 <= fake[2][1] < 7
    with pytest.raises(IndexError):
        fake[3]
