"""GPTs: training steps, one sequence, and one token with what the model has read kept in a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .networks import Network, training_step
from .runner import US, Row, Settings, Target, race, repeat

LETTERS = 65


@dataclass(frozen=True)
class Shape:
    width: int
    heads: int
    layers: int
    length: int
    batch: int

    @property
    def name(self) -> str:
        return f"GPT d={self.width}, {self.layers} layers, {self.heads} heads, T={self.length}"


SHAPES = [Shape(128, 4, 4, 128, 16), Shape(192, 6, 3, 64, 12)]


class TorchCache:
    """Keys and values so far, as scripts for PyTorch keep them: in place, read up to where they reach."""

    def __init__(self, lib: Any, shape: Shape):
        size = (shape.layers, 1, shape.heads, shape.length, shape.width // shape.heads)
        self.lib, self.keys, self.values, self.position = lib, lib.zeros(size), lib.zeros(size), 0

    def attend(self, layer: int, q: Any, k: Any, v: Any) -> Any:
        end = self.position + q.shape[2]
        self.keys[layer, :, :, self.position : end] = k
        self.values[layer, :, :, self.position : end] = v
        attention = self.lib.nn.functional.scaled_dot_product_attention
        return attention(q, self.keys[layer, :, :, :end], self.values[layer, :, :, :end])

    def advance(self, length: int) -> None:
        self.position += length


def make(lib: Any, shape: Shape) -> Any:
    nn, F, width = lib.nn, lib.nn.functional, shape.width

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, attend: Callable) -> Any:
            n, t, _ = x.shape
            parts = self.qkv(self.norm1(x)).reshape(n, t, 3, shape.heads, width // shape.heads)
            y = attend(*(part.transpose(1, 2) for part in parts.unbind(2)))
            x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Gpt(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.letter, self.place = nn.Embedding(LETTERS, width), nn.Embedding(shape.length, width)
            self.blocks = nn.ModuleList([Block() for _ in range(shape.layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, LETTERS, bias=False)

        def forward(self, letters: Any, cache: Any = None) -> Any:
            places = lib.arange(letters.shape[1])
            x = self.letter(letters) + self.place(places if cache is None else places + cache.position)
            for number, block in enumerate(self.blocks):
                if cache is None:
                    x = block(x, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
                else:
                    x = block(x, lambda q, k, v, number=number: cache.attend(number, q, k, v))
            if cache is not None:
                cache.advance(letters.shape[1])
            return self.head(self.norm(x))

    return Gpt()


def network(shape: Shape) -> Network:
    """Letters at random, each with the one to predict."""

    def inputs() -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        x, y = random.integers(0, LETTERS, (2, shape.batch, shape.length))
        return x, y

    def loss(lib: Any, out: Any, y: Any) -> Any:
        return lib.nn.functional.cross_entropy(out.reshape(-1, LETTERS), y.reshape(-1))

    return Network(f"{shape.name}, batch {shape.batch}", lambda lib: make(lib, shape), inputs, loss)


def one_sequence(lib: Any, shape: Shape) -> Callable[[], Any]:
    model = make(lib, shape).eval()
    x = lib.tensor(network(shape).inputs()[0][:1])
    run = lib.compile(model, frozen=True) if lib.__name__ == US else model

    def predict() -> Any:
        with lib.no_grad():
            return run(x)

    return predict


def one_token(lib: Any, shape: Shape) -> Callable[[], Any]:
    """The token in the middle: the cache holds half of the length."""
    model, ours, half = make(lib, shape).eval(), lib.__name__ == US, shape.length // 2
    size = {"layers": shape.layers, "heads": shape.heads, "head_dim": shape.width // shape.heads}
    cache = lib.nn.KeyValueCache(batch=1, max_length=shape.length, **size) if ours else TorchCache(lib, shape)
    letter, at = lib.tensor([[1]]), lib.tensor(half)

    def read(x: Any) -> Any:
        return model(x, cache)

    run = lib.compile(read) if ours else read

    def step() -> Any:
        with lib.no_grad():
            if ours:
                cache.position.copy_(at)
            else:
                cache.position = half
            return run(letter)

    return step


def measure(libraries: dict[str, Any], settings: Settings) -> list[Row]:
    """Rows of each shape, of those libraries that are there."""
    rows = []
    for shape in SHAPES:
        works: list[tuple[str, str, Callable, Target]] = [
            ("training step", network(shape).name, lambda key, lib, s=shape: training_step(key, lib, network(s)),
             Target(1.6, "torch")),
            ("one sequence", shape.name, lambda key, lib, s=shape: one_sequence(lib, s), Target(2, "torch")),
            ("one token", f"{shape.name}, cached", lambda key, lib, s=shape: one_token(lib, s), Target(5, "torch")),
        ]  # fmt: skip
        for group, case, work, target in works:
            if not settings.wants(case):
                continue
            contenders = {key: repeat(work(key, lib)) for key, lib in libraries.items() if lib is not None}
            values = {key: seconds * 1e6 for key, seconds in race(contenders, settings).items()}
            rows.append(Row(group, case, "us", values, targets=[target]))
    return rows
