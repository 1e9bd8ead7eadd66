"""What an MLP, a CNN, an LSTM and a GPT cost, and how it grows.

python examples/scale.py                       tables, in seconds
python examples/scale.py --train               of a step of training
python examples/scale.py --output FOLDER       pages and plots too (plots need matplotlib)
"""

import argparse
from pathlib import Path

import ranvier as rv
from ranvier import nn


def mlp(width=64):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def cnn(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(2 * width, 10),
    )  # fmt: skip


class LSTM(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.lstm, self.top = nn.LSTM(16, width, batch_first=True), nn.Linear(width, 10)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.top(y[:, -1])


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(self.before(x)).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.between(x))


class GPT(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.embedding = nn.Embedding(64, width)
        self.blocks = nn.Sequential(*[Block(width, 4) for _ in range(depth)])
        self.norm, self.top = nn.LayerNorm(width), nn.Linear(width, 64, bias=False)
        self.top.weight = self.embedding.weight

    def forward(self, tokens):
        return self.top(self.norm(self.blocks(self.embedding(tokens))))


def lstm(width=32):
    return LSTM(width)


def gpt(width=32, depth=2):
    return GPT(width, depth)


# the model, its input, and the sizes over which it grows
NETWORKS = {
    "MLP": (mlp, lambda batch=32: rv.randn(batch, 64), {"width": [64, 128, 256], "batch": [32, 64, 128]}),
    "CNN": (cnn, lambda batch=8: rv.randn(batch, 3, 16, 16), {"width": [8, 16, 32], "batch": [8, 16, 32]}),
    "LSTM": (lstm, lambda batch=8, length=16: rv.randn(batch, length, 16), {"width": [32, 64], "length": [16, 32, 64]}),
    "GPT": (
        gpt, lambda batch=2, length=32: rv.zeros(batch, length, dtype=rv.int64),
        {"width": [32, 64], "depth": [1, 2, 3], "length": [32, 64, 128]},
    ),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="a step of training with Adam, not a forward pass")
    parser.add_argument("--output", type=Path, help="a folder for pages and plots")
    options = parser.parse_args()
    settings = {"train": True, "optimizer": "adam"} if options.train else {}
    for name, (make, make_input, over) in NETWORKS.items():
        report = rv.profile(make(), make_input(), **settings)
        growth = rv.growth(make, make_input, over, **settings)
        print(f"{name}\n\n{report}\n\n{growth}\n")
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            report.html(options.output / f"{name}.html")
            growth.plot(options.output / f"{name}-growth.png")


if __name__ == "__main__":
    main()
