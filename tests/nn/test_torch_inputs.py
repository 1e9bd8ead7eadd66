"""The inputs with which PyTorch tests its own modules and functions of images give its results here.

Each entry of PyTorch's lists is run, or stands in a table with the reason why not. Other tables of the folder list the
other kinds: see `test_every_entry_is_named`.
"""

from __future__ import annotations

import pytest
import test_torch_losses
import test_torch_sequences
import torch_inputs
from torch_inputs import Skip, Skips

MODULES = """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d
AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d BatchNorm3d CELU Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d
ConvTranspose3d ELU Linear Bilinear LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d FractionalMaxPool2d FractionalMaxPool3d GELU GLU GroupNorm Hardshrink
Hardswish Hardtanh InstanceNorm1d InstanceNorm2d InstanceNorm3d LocalResponseNorm LayerNorm RMSNorm ReLU LeakyReLU ReLU6
PReLU Sigmoid LogSigmoid SiLU Softmax Softmax2d LogSoftmax Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold
Mish ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU ZeroPad1d
ZeroPad2d ZeroPad3d CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d
""".split()

FUNCTIONS = """
softmin softmin/with_dtype normalize cosine_similarity adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d relu conv_transpose1d
conv_transpose2d conv_transpose3d conv1d conv2d conv3d group_norm instance_norm layer_norm rms_norm local_response_norm
pad/constant pad/reflect pad/replicate pad/replicate_negative pad/circular hardswish unfold interpolate/nearest
interpolate/nearest-exact interpolate/linear interpolate/bilinear interpolate/bicubic interpolate/trilinear
interpolate/area upsample_bilinear upsample_nearest leaky_relu max_pool1d max_pool2d max_pool3d max_unpool1d
max_unpool1d/grad max_unpool2d max_unpool2d/grad max_unpool3d max_unpool3d/grad linear bilinear glu elu prelu celu rrelu
selu silu hardsigmoid logsigmoid mish softsign tanhshrink threshold batch_norm batch_norm/without_cudnn softshrink
hardshrink hardtanh gelu relu6 dropout dropout2d dropout3d alpha_dropout feature_alpha_dropout/with_train
feature_alpha_dropout/without_train softplus grid_sample pixel_shuffle pixel_unshuffle channel_shuffle one_hot
fractional_max_pool2d fractional_max_pool3d
""".split()

# Modules and functions that are not run at all, and why.
ABSENT = {
    "LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d": "no lazy modules",
    "silu/complex": "no complex numbers",
    "multi_head_attention_forward": "all its inputs drop at random; MultiheadAttention runs it",
    "linear_cross_entropy/chunked linear_cross_entropy/chunked_none": "no chunks of scores",
}
OTHERS = [
    *test_torch_losses.LOSSES.modules, *test_torch_losses.LOSSES.functions,
    *test_torch_sequences.SEQUENCES.modules, *test_torch_sequences.SEQUENCES.functions,
]  # fmt: skip

RANDOM = Skip("draws numbers, which differ", lambda a: a.get("training", True) and 0 < a.get("p", 0.5) < 1)
EMPTY = Skip("one axis is no (N, C)", lambda a: a[0].ndim == 1)
COMPLEX = Skip("complex numbers", lambda a: any(t.dtype.is_complex for t in torch_inputs.tensors(a)))
SKIPS = {
    "layer_norm": [Skip("of one element PyTorch's gradient is noise, ours 0", lambda a: a[0].numel() == 1)],
    "FractionalMaxPool3d": [Skip("places drawn for two images, given one", lambda a: a[1].ndim == 4)],
    **dict.fromkeys(("fractional_max_pool2d", "fractional_max_pool3d"), [Skip("draws numbers, which differ")]),
    "batch_norm": [EMPTY],
    "batch_norm/without_cudnn": [EMPTY],
    "rrelu": [Skip("draws numbers, which differ", lambda a: a.get("training", False))],
    **dict.fromkeys(("dropout", "dropout2d", "dropout3d", "feature_alpha_dropout/with_train"), [RANDOM]),
    "alpha_dropout": [Skip(RANDOM.reason, lambda a: a.get("training", False) and 0 < a["p"] < 1)],
}
TOLERANCES = {
    ("hardsigmoid", "float64"): 1e-7,  # PyTorch rounds 1/6 to float32
    ("normalize", "float32"): 1e-4,  # of one element: PyTorch's gradient is the noise of a difference, ours is 0
}


@pytest.fixture(autouse=True)
def one_thread(torch):
    """PyTorch's threads wait in loops, which takes long where there are fewer cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MODULES)
def test_module(torch, name, dtype):
    skips = Skips(*SKIPS.get(name, ()))
    assert torch_inputs.compare_module(torch, torch_inputs.modules(torch)[name], dtype, skips)
    skips.finish()


@pytest.mark.parametrize(
    "name, dtype",
    [(name, dtype) for name in FUNCTIONS for dtype in (("int64",) if name == "one_hot" else ("float64", "float32"))],
)
def test_function(torch, name, dtype):
    skips = Skips(*SKIPS.get(name, ()))
    info = torch_inputs.functions(torch)[name]
    ran = torch_inputs.compare_function(torch, info, dtype, skips, TOLERANCES.get((name, dtype)))
    assert ran or name.startswith("fractional"), "no input ran"
    skips.finish()


def test_what_pytorch_refuses(torch):
    """Nothing of it may be accepted. See `torch_inputs.must_refuse`."""
    entries = torch_inputs.modules(torch)
    ran = sum(torch_inputs.refuse_module(torch, entries[name], Skips()) for name in MODULES)
    entries = torch_inputs.functions(torch)
    for name in FUNCTIONS:
        skips = Skips(*[COMPLEX] * (name in ("conv1d", "conv2d", "conv3d")))
        ran += torch_inputs.refuse_function(torch, entries[name], skips)
        skips.finish()
    assert ran > 120


def test_every_entry_is_named(torch):
    named = {*MODULES, *FUNCTIONS, *OTHERS, *" ".join(ABSENT).split()}
    assert named == {*torch_inputs.modules(torch), *torch_inputs.functions(torch)}
