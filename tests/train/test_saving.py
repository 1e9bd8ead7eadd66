"""Safetensors files: round trips, PyTorch's files, damaged files, and saves that fail."""

import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, saving
from ranvier.saving import write_atomically

ARRAYS = {
    "f32": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "f64": np.array([1e-300, np.inf, -0.0]),
    "i64": np.array(-5),
    "i32": np.arange(3, dtype=np.int32),
    "u8": np.zeros((0, 4), np.uint8),
    "bool": np.array([True, False]),
    "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
}


def test_round_trip(tmp_path):
    path = tmp_path / "t.safetensors"
    rv.save({k: rv.from_numpy(v) if k != "f64" else v for k, v in ARRAYS.items()}, path, metadata={"a": "ä b"})
    loaded, metadata = rv.saving.load(path, return_metadata=True)
    assert metadata == {"a": "ä b"} and set(loaded) == set(ARRAYS)
    for name, array in ARRAYS.items():
        got = np.asarray(loaded[name])
        assert got.dtype == array.dtype and got.shape == array.shape and got.flags.writeable
        np.testing.assert_array_equal(got, array)
        assert np.array_equal(np.signbit(got), np.signbit(array)) if array.dtype.kind == "f" else True
    assert os.listdir(tmp_path) == ["t.safetensors"]


def test_modules_round_trip_and_train_on(tmp_path):
    path = tmp_path / "m.safetensors"
    first, second = (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)) for _ in range(2))
    first.save(path)
    weight = second[0].weight
    second.load(path)
    assert second[0].weight is weight
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(first(rv.tensor(x)).detach()), np.asarray(second(rv.tensor(x)).detach()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "int16", "uint8", "bool"])
def test_pytorchs_files(torch, tmp_path, dtype):
    from safetensors.torch import save_file

    values = torch.tensor([0.0, 1.0, -1.5, 3.14159, 1e-3, 100.0, -0.0]).to(getattr(torch, dtype))
    save_file({"w": values.reshape(1, 7)}, tmp_path / "t.safetensors")
    got = np.asarray(rv.load(tmp_path / "t.safetensors")["w"])
    expected = values.float().numpy() if "float" in dtype and dtype != "float64" else values.numpy()
    np.testing.assert_array_equal(got, expected.reshape(1, 7))
    if dtype in ("float16", "bfloat16"):
        assert got.dtype == np.float32


def test_half_precision_weights_of_pytorch_load_by_name(torch, tmp_path):
    from safetensors.torch import save_file

    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)).bfloat16()
    save_file(theirs.state_dict(), tmp_path / "t.safetensors")
    ours = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    ours.load(tmp_path / "t.safetensors")
    np.testing.assert_array_equal(np.asarray(ours[1].weight), theirs[1].weight.detach().float().numpy())


def test_special_values_of_bfloat16(tmp_path):
    bits = np.array([0x7F80, 0xFF80, 0x7FC0, 0x8000, 0x0001], np.uint16)  # inf, -inf, nan, -0, smallest denormal
    header = json.dumps({"w": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}).encode()
    (tmp_path / "b.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    got = np.asarray(rv.load(tmp_path / "b.safetensors")["w"])
    np.testing.assert_array_equal(got, [np.inf, -np.inf, np.nan, -0.0, 2.0**-133])


def test_checkpoints_of_several_parts(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = rv.optim.Adam(model.parameters(), lr=0.05)
    schedule = rv.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])
    x = rv.tensor(np.ones((4, 3), np.float32))

    def train(model, optimizer, schedule):
        for _ in range(3):
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
            schedule.step()

    train(model, optimizer, schedule)
    checkpoint = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
        "epoch": 3, "best": float("inf"), "note": None, "a": {"b.c": np.ones(1)}, "a.b": {"c": np.zeros(2)},
    }  # fmt: skip
    rv.save(checkpoint, tmp_path / "c.safetensors", metadata={"k": "v"})
    loaded, metadata = rv.saving.load(tmp_path / "c.safetensors", return_metadata=True)
    assert metadata == {"k": "v"} and list(loaded) == list(checkpoint)
    assert loaded["epoch"] == 3 and loaded["best"] == float("inf") and loaded["note"] is None
    assert loaded["a"]["b.c"].tolist() == [1.0] and loaded["a.b"]["c"].tolist() == [0.0, 0.0]
    assert loaded["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    second = nn.Linear(3, 2)
    other = rv.optim.Adam(second.parameters())
    plan = rv.optim.lr_scheduler.MultiStepLR(other, [1])
    second.load_state_dict(loaded["model"])
    other.load_state_dict(loaded["optimizer"])
    plan.load_state_dict(loaded["schedule"])
    train(model, optimizer, schedule)
    train(second, other, plan)
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(0.0005)
    np.testing.assert_array_equal(np.asarray(second.weight.detach()), np.asarray(model.weight.detach()))


@pytest.mark.parametrize("value", [
    3, 0.1, "text", None, True, [1, [2.5, "x"], None], (1, 2), {"a": {"b": [{"c": 1}]}}, {1: "one", "1": 2}, {}, [],
    {"inf": float("inf"), "big": 2**80}, {"dtype": np.dtype("float32")},
])  # fmt: skip
def test_what_is_no_tensor_comes_back_as_it_was(value):
    buffer = io.BytesIO()
    rv.save(value, buffer)
    buffer.seek(0)
    loaded = rv.load(buffer)
    assert loaded == value and type(loaded) is type(value)


def test_single_tensors_and_lists_of_them():
    for value in (rv.arange(3), nn.Parameter(rv.ones(2, 2)), np.float64(1.5), [rv.ones(2), {"w": rv.zeros(1)}]):
        buffer = io.BytesIO()
        rv.save(value, buffer)
        buffer.seek(0)
        loaded = rv.load(buffer, map_location="cpu", weights_only=False)
        if isinstance(value, list):
            assert loaded[0].tolist() == [1, 1] and loaded[1]["w"].tolist() == [0]
        else:
            assert np.array_equal(np.asarray(loaded), np.asarray(value)) and loaded is not value


def test_several_saves_in_one_file(tmp_path):
    with open(tmp_path / "f", "wb") as file:
        rv.save({"a": rv.ones(2)}, file)
        rv.save([1, 2], file)
    with open(tmp_path / "f", "rb") as file:
        assert rv.load(file)["a"].tolist() == [1, 1] and rv.load(file) == [1, 2]
        with pytest.raises(ValueError, match="the BufferedReader is empty"):
            rv.load(file)
    with pytest.raises(ValueError, match="bytes after its tensors"):
        rv.load(tmp_path / "f")

    class Unseekable:
        def __init__(self, content):
            self.read = io.BytesIO(content).read

    content = (tmp_path / "f").read_bytes()
    assert rv.load(Unseekable(content))["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="cut short"):
        rv.load(Unseekable(content[:-70]))


def test_objects_with_code_are_refused_with_what_to_do(tmp_path):
    model = nn.Linear(2, 1)
    for value in (model, {"model": model}, rv.optim.SGD(model.parameters(), 0.1)):
        with pytest.raises(TypeError, match=r"^save: .* is an object with code .* save its state_dict\(\)"):
            rv.save(value, tmp_path / "m")
    for f in (io.StringIO(), 3):
        with pytest.raises(TypeError, match="^save: f=.* open for writing bytes"):
            rv.save({}, f)
        with pytest.raises(TypeError, match="^load: f=.* open for reading bytes"):
            rv.load(f)
    with pytest.raises(FileNotFoundError, match="no such folder: '.*nowhere'"):
        rv.save({}, tmp_path / "nowhere" / "m")


def test_locations(tmp_path):
    rv.save({"a": rv.ones(2)}, tmp_path / "f")
    for place in (None, "cpu", rv.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert rv.load(tmp_path / "f", map_location=place)["a"].tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="'cuda' is not available"):
        rv.load(tmp_path / "f", "cuda")


@pytest.mark.parametrize("length", [1, 241, 255])
@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_paths_of_any_kind_and_length(tmp_path, length, kind):
    path = kind(str(tmp_path / ("n" * length)))
    for value in (1.0, 2.0):
        rv.save({"a": rv.tensor([value])}, path)
    assert rv.load(path)["a"].tolist() == [2.0] and len(os.listdir(tmp_path)) == 1


def test_a_file_that_gets_shorter_meanwhile_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "f"
    rv.save({"a": np.ones(1 << 16), "b": np.ones(1 << 16)}, path)
    check = saving._check_entries

    def shorten(header):
        os.truncate(path, 1 << 16)
        return check(header)

    monkeypatch.setattr(saving, "_check_entries", shorten)
    with pytest.raises(ValueError, match="cut short: 'a' takes"):
        rv.load(path)


def test_headers_whose_length_looks_like_a_pickle():
    for n in range(900, 1200, 8):
        buffer = io.BytesIO()
        rv.save({"x" * n: np.ones(1)}, buffer)
        if buffer.getvalue()[:1] == b"\x80":
            buffer.seek(0)
            assert list(rv.load(buffer)) == ["x" * n]
            return
    raise AssertionError("no such length")


def test_a_damaged_structure_is_named(tmp_path):
    rv.save({"w": np.ones(1)}, tmp_path / "s.safetensors", metadata={"ranvier.tree": '{"tensor": "v"}'})
    with pytest.raises(ValueError, match="structure"):
        rv.load(tmp_path / "s.safetensors")


def damaged(kind, path):
    rv.save({"w": np.ones((8, 8), np.float32)}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    changed = {
        "empty": b"",
        "text": b"hello, this is no tensor file",
        "short": content[:-10],
        "short header": content[: 8 + length // 2],
        "header": content[:9] + b"#" + content[10:],
        "offsets": content.replace(b"[0,256]", b"[4,256]"),
        "pickle": b"\x80\x02}q\x00.",
        "zip": b"PK\x03\x04" + b"0" * 100,
        "huge header": (2**60).to_bytes(8, "little") + content[8:],
    }[kind]
    path.write_bytes(changed)


@pytest.mark.parametrize("kind, message", [
    ("empty", "empty"), ("text", "not a safetensors"), ("short", "cut short"), ("short header", "cut short"),
    ("header", "damaged"), ("offsets", "damaged"), ("pickle", "never loaded"), ("zip", "ranvier.torch.load reads"),
    ("huge header", "cut short"),
])  # fmt: skip
def test_damaged_files_are_named(tmp_path, kind, message):
    path = tmp_path / "d.safetensors"
    damaged(kind, path)
    with pytest.raises(ValueError, match=message) as error:
        rv.load(path)
    assert "d.safetensors" in str(error.value)


def test_wrong_names_and_shapes_change_nothing(tmp_path):
    model = nn.Linear(3, 2)
    before = np.array(model.weight.detach())
    for content, message in [
        ({"weight": np.zeros((2, 3), np.float32)}, "bias"),
        ({"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(5, np.float32)}, "bias"),
        ({"weight": np.zeros((2, 3)), "bias": np.zeros(2), "extra": np.zeros(1)}, "extra"),
    ]:
        rv.save(content, tmp_path / "w.safetensors")
        with pytest.raises(RuntimeError, match=message):
            model.load(tmp_path / "w.safetensors")
        np.testing.assert_array_equal(np.asarray(model.weight.detach()), before)
    with pytest.raises(FileNotFoundError):
        model.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    "tensors", [{1, 2}, {"a": object()}, {1.5: np.ones(1)}, {"a": np.array(["x"])}, {"a": [np.ones(1, complex)]}]
)
def test_what_is_no_tensor_is_refused(tmp_path, tensors):
    with pytest.raises(TypeError, match="save"):
        rv.save(tensors, tmp_path / "x")
    with pytest.raises(TypeError, match="metadata"):
        rv.save({}, tmp_path / "x", metadata={"a": 1})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stage", ["write", "fsync", "replace"])
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_failing_save_keeps_the_old_file(tmp_path, monkeypatch, stage, unnamed):
    path = tmp_path / "f.safetensors"
    rv.save({"w": np.ones(3)}, path)
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    if stage == "write":
        real = os.fdopen

        class Full:
            def __init__(self, *args):
                self.file = real(*args)

            def __enter__(self):
                return self

            def __exit__(self, *exc):
                self.file.close()

            write = full

        monkeypatch.setattr(os, "fdopen", Full)
    else:
        monkeypatch.setattr(os, stage, full)
    with pytest.raises(OSError, match="No space"):
        rv.save({"w": np.zeros(3)}, path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["f.safetensors"]
    assert np.asarray(rv.load(path)["w"]).tolist() == [1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="needs unnamed files")
def test_a_killed_save_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "k.safetensors"
    rv.save({"w": np.ones(3)}, path)
    code = (
        "import os, signal, sys\n"
        "from ranvier.saving import write_atomically\n"
        "os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], b'x' * 100000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["k.safetensors"]
    assert np.asarray(rv.load(path)["w"]).tolist() == [1, 1, 1]


def test_links_and_permissions_are_kept(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    write_atomically(real, b"1")
    mask = os.umask(0)
    os.umask(mask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~mask
    real.chmod(0o600)
    link.symlink_to(real)
    write_atomically(link, b"2")
    assert link.is_symlink() and real.read_bytes() == b"2" and real.stat().st_mode & 0o777 == 0o600


def test_any_damage_of_the_header_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "f.safetensors"
    rv.save({"a": np.ones((2, 3)), "b": {"c": np.arange(4), "d": [1, "x"]}}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        changed = bytearray(content)
        for position in random.integers(0, 8 + length, random.integers(1, 4)):
            changed[position] = random.integers(0, 256)
        path.write_bytes(changed)
        try:
            rv.load(path)
            outcomes.add("loaded")
        except ValueError:
            outcomes.add("refused")
    assert "refused" in outcomes
