"""What scripts for PyTorch write before their network begins."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn


def test_device():
    device = rv.device("cuda" if rv.cuda.is_available() else "cpu")
    assert device == "cpu" == str(device) and f"{device}" == "cpu" and repr(device) == "device(type='cpu')"
    assert (device.type, device.index) == ("cpu", None) and rv.zeros(1).device == device == rv.device("cpu")
    assert (
        repr(rv.device("cuda", 1)) == repr(rv.device("cuda:1")) == repr(rv.device(1)) == "device(type='cuda', index=1)"
    )
    assert pickle.loads(pickle.dumps(rv.device("cuda:1"))).index == 1 and copy.deepcopy(device) == device
    model = nn.Linear(2, 1).to(device)
    x = rv.zeros(1, 2).to(device, non_blocking=True)
    assert x.to(device, rv.float64).dtype == rv.float64 and x.to(rv.zeros(1, dtype=rv.int64)).dtype == rv.int64
    assert x.to("cpu", copy=True) is not x and x.to("cpu") is x
    assert model(x).shape == (1, 1) and model.cpu() is model
    with pytest.raises(rv.BackendError, match="device 'cuda' is not available; devices: cpu"):
        model.to("cuda")
    with pytest.raises(rv.BackendError, match="device 'cuda:1' is not available"):
        x.cuda(1)
    with pytest.raises(ValueError, match="'gpu' must be one of cpu, cuda"):
        rv.device("gpu")
    assert rv.compile(lambda x: x + 1 if x.device.type == "cpu" else x)(x).tolist() == [[1, 1]]


def test_no_gpu():
    assert not rv.cuda.is_available() and rv.cuda.device_count() == 0
    rv.cuda.manual_seed_all(0)
    rv.cuda.empty_cache()
    with pytest.raises(rv.BackendError, match="no GPU is available"):
        rv.cuda.get_device_name(0)
    cudnn = importlib.import_module("ranvier.backends.cudnn")
    cudnn.deterministic, cudnn.benchmark = True, False
    assert not cudnn.is_available() and not importlib.import_module("ranvier.backends.mps").is_available()


@pytest.mark.parametrize(
    "kind, dtype",
    [
        (rv.Tensor, "float32"), (rv.FloatTensor, "float32"), (rv.DoubleTensor, "float64"), (rv.LongTensor, "int64"),
        (rv.IntTensor, "int32"), (rv.ByteTensor, "uint8"), (rv.BoolTensor, "bool"),
    ],
)  # fmt: skip
def test_constructors(kind, dtype):
    data = kind([[1, 0, 1]])
    assert data.dtype == dtype and data.tolist() == [[1, 0, 1]]
    assert kind(2, 3).shape == (2, 3) and kind(4).shape == (4,) and kind(2, 3).dtype == dtype
    for source in (np.array([1, 0]), np.array([1.0, 0.0]), rv.tensor([1, 0]), (1, 0)):
        assert kind(source).dtype == dtype and kind(source).tolist() == [1, 0]
    shared = np.ones(2, dtype)
    kind(shared).numpy()[0] = 0
    assert shared[0] == 0
    assert isinstance(data, kind) and isinstance(data, rv.Tensor)
    assert kind is rv.Tensor or isinstance(rv.zeros(1), kind) == (dtype == "float32")


def test_variable():
    x = rv.tensor([1.0, 2.0])
    v = rv.autograd.Variable(x, requires_grad=True)
    (v * v).sum().backward()
    assert v.grad.tolist() == [2, 4] and not x.requires_grad
    x[0] = 5.0
    assert v[0].item() == 5


def test_utils_data():
    data = importlib.import_module("ranvier.utils.data")
    assert data.DataLoader is rv.data.DataLoader is rv.utils.data.DataLoader


def test_load_state_dict_assigns():
    model = nn.Linear(2, 1)
    weight, array = model.weight, np.ones((1, 2))
    model.load_state_dict({"weight": array, "bias": np.zeros(1)}, assign=True)
    assert model.weight is weight and weight.dtype == rv.float64 and weight.requires_grad
    array[:] = 3
    assert model(rv.ones(1, 2, dtype="float64")).item() == 6
    with pytest.raises(rv.StateError, match="weight: shape"):
        model.load_state_dict({"weight": np.ones((2, 2)), "bias": np.zeros(1)}, assign=True)
