"""The inputs with which PyTorch tests its own losses give its results here."""

from __future__ import annotations

import pytest
from torch_inputs import Family, Skip, Skips

pytestmark = pytest.mark.filterwarnings("ignore")


def log_softmax(lib, x):
    return lib.nn.functional.log_softmax(x, dim=-1)


CHUNKS = Skip("no chunks of scores", lambda a: a.get("options") is not None)
LOSSES = Family(
    modules="""
        CosineEmbeddingLoss L1Loss SmoothL1Loss KLDivLoss MSELoss MarginRankingLoss MultiLabelMarginLoss MultiMarginLoss
        SoftMarginLoss MultiLabelSoftMarginLoss NLLLoss GaussianNLLLoss PoissonNLLLoss HingeEmbeddingLoss HuberLoss
        BCELoss BCEWithLogitsLoss CrossEntropyLoss LinearCrossEntropyLoss CTCLoss
    """.split(),
    functions="""
        cross_entropy linear_cross_entropy binary_cross_entropy_with_logits soft_margin_loss margin_ranking_loss
        multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss triplet_margin_loss
        triplet_margin_with_distance_loss binary_cross_entropy smooth_l1_loss l1_loss mse_loss ctc_loss
        cosine_embedding_loss nll_loss gaussian_nll_loss hinge_embedding_loss huber_loss pdist poisson_nll_loss
        pairwise_distance kl_div
    """.split(),
    skips={"LinearCrossEntropyLoss": [CHUNKS]},
    tolerances=dict.fromkeys([("CTCLoss", "float32"), ("ctc_loss", "float32")], 2e-4),  # sums of some 50 logarithms
    first=dict.fromkeys(["CTCLoss", "ctc_loss"], log_softmax),  # PyTorch's gradient is right behind one only
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOSSES.modules)
def test_module_of_losses(torch, name, dtype):
    LOSSES.module(torch, name, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOSSES.functions)
def test_function_of_losses(torch, name, dtype):
    LOSSES.function(torch, name, dtype)


def test_losses_that_pytorch_refuses(torch):
    half = Skip("weights of float16, which `to` casts as the rest", lambda a: "weight" in a)
    assert LOSSES.refused(torch, {"NLLLoss": Skips(half)}) > 60
