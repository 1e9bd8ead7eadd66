"""A whole network of attention, written once for both libraries: ten steps of training are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv

TOKENS = np.random.default_rng(0).integers(0, 11, (3, 7))


def gpt(library):
    nn, F = library.nn, library.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

        def forward(self, x):
            n, t, width = x.shape
            parts = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, width // self.heads)
            q, k, v = (u.transpose(1, 2) for u in parts.unbind(2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Gpt(nn.Module):
        def __init__(self, classes=11, width=8, heads=2, layers=2, length=6):
            super().__init__()
            self.token, self.place = nn.Embedding(classes, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes, bias=False)

        def forward(self, tokens):
            x = self.token(tokens) + self.place(library.arange(tokens.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Gpt()


def steps(library, model, compiled=lambda f: f):
    # eps: the bias of keys has no gradient but rounding errors, which Adam would make as large as the others
    optimizer = library.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4, weight_decay=0.1)

    def step(tokens):
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        loss = library.nn.functional.cross_entropy(logits.reshape(-1, 11), tokens[:, 1:].reshape(-1))
        loss.backward()
        library.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    run = compiled(step)
    return [run(library.tensor(TOKENS)).item() for _ in range(10)]


def weights(model) -> np.ndarray:
    return np.concatenate([v.detach().numpy().ravel() for v in model.state_dict().values()])


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_ten_steps_of_a_gpt(how, oracle):
    def theirs(torch):
        torch.manual_seed(0)
        model = gpt(torch).float()
        return [weights(model), np.array(steps(torch, model)), weights(model)]

    first, losses, last = oracle(theirs, key="gpt/ten steps")
    model, at = gpt(rv), 0
    state = model.state_dict()
    for name, value in state.items():
        state[name] = rv.tensor(first[at : at + value.numel()].reshape(value.shape).astype("f4"))
        at += value.numel()
    model.load_state_dict(state)
    ours = steps(rv, model, rv.compile if how == "compiled" else lambda f: f)
    np.testing.assert_allclose(ours, losses, rtol=2e-5)
    np.testing.assert_allclose(weights(model), last, rtol=1e-3, atol=2e-4)
    assert ours[-1] < ours[0]
