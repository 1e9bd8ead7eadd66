"""The inputs with which PyTorch tests its own layers of sequences give its results here."""

from __future__ import annotations

import pytest
from torch_inputs import Family, Skip

pytestmark = pytest.mark.filterwarnings("ignore")

DROPPED = Skip("draws numbers, which differ", lambda a: a.get("dropout_p", 0) > 0)
SEQUENCES = Family(
    modules="""
        TransformerEncoder TransformerEncoderLayer TransformerDecoderLayer Transformer MultiheadAttention Embedding RNNCell
        GRUCell LSTMCell RNN GRU LSTM
    """.split(),
    functions="scaled_dot_product_attention embedding embedding_bag".split(),
    skips={"scaled_dot_product_attention": [DROPPED]},
    tolerances={
        ("TransformerDecoderLayer", "float32"): 1e-4,
        ("scaled_dot_product_attention", "float32"): 1e-3,
        ("scaled_dot_product_attention", "float64"): 1e-7,
    },
    first={},
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SEQUENCES.modules)
def test_module_of_sequences(torch, name, dtype):
    SEQUENCES.module(torch, name, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SEQUENCES.functions)
def test_function_of_sequences(torch, name, dtype):
    SEQUENCES.function(torch, name, dtype)


def test_sequences_that_pytorch_refuses(torch):
    assert SEQUENCES.refused(torch, {}) > 20
