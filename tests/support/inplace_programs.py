"""Random programs that change tensors in place, for any library with PyTorch's names."""

from __future__ import annotations

import random

import numpy as np

OPS = ("exp", "sin", "tanh", "sigmoid", "abs", "neg", "square", "relu", "cos")
VIEWS = {"[0]": (3,), ".T": (3, 2), "[:, 1:]": (2, 2), ".reshape(-1)": (6,), "[:, 1]": (2,)}
START = np.array([[0.5, -0.7, 1.2], [0.3, 0.9, -1.1]])


class Program:
    """Lines of Python over x, a leaf of shape (2, 3), and what is made of it; masks: some index by masks."""

    def __init__(self, seed: int, masks: bool = True):
        self.random = random.Random(seed)
        self.shapes = {"y": (2, 3), "b": (2, 3), "x": (2, 3)}
        self.lines = ["b = lib.zeros(2, 3, dtype=lib.float64)", f"y = {self._pick(('x * 2.0', 'x + 1.0', 'x.exp()'))}"]
        steps = [self._new, self._joined, self._view, self._change, self._change, self._combine, self._part]
        for _ in range(self.random.randint(2, 6)):
            self._pick(steps)()
        if masks:
            self.lines.append("y[y > 0.4] *= 2.0")
        used = [name for name in self.shapes if self.random.random() < 0.6] or ["y"]
        self.lines.append("out = " + " + ".join(f"({name} * {k + 1.0}).sum()" for k, name in enumerate(used)))

    def _pick(self, options):
        return self.random.choice(list(options))

    def _made(self, shape=None):
        return self._pick(n for n in self.shapes if n != "x" and shape in (None, self.shapes[n]))

    def _like(self, name):
        return self._pick(n for n in self.shapes if self.shapes[n] == self.shapes[name])

    def _define(self, value, shape):
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {value}")
        self.shapes[name] = shape

    def _new(self):
        name = self._pick(self.shapes)
        self._define(f"{name}.{self._pick(OPS)}()", self.shapes[name])

    def _joined(self):
        name = self._pick(self.shapes)
        self._define(f"{name} {self._pick('+-*')} {self._like(name)}", self.shapes[name])

    def _view(self):
        view = self._pick(VIEWS)
        self._define(self._made((2, 3)) + view, VIEWS[view])

    def _change(self):
        call = self._pick([*(f"{op}_()" for op in OPS), "mul_(2.0)", "clamp_(-1.0, 1.0)", "fill_(0.5)", "pow_(2)"])
        self.lines.append(f"{self._made()}.{call}")

    def _combine(self):
        name = self._made()
        self.lines.append(f"{name}.{self._pick(('add_', 'mul_', 'sub_', 'copy_'))}({self._like(name)})")

    def _part(self):
        change = self._pick(("{0}[0] *= 3.0", "{0}[1] = {1}[0] * 2.0", "{0}[0, 1] = 1.5", "{0}[:, 1] += {1}[:, 0]",
                             "{0}[[0, 1], [1, 2]] = {1}[[1, 0], [0, 0]] * 1.5"))  # fmt: skip
        self.lines.append(change.format(self._made((2, 3)), self._made((2, 3))))

    def run(self, lib, wrap=lambda f: f):
        """The result and the gradient of x."""
        x = lib.tensor(START, requires_grad=True)

        def program():
            names = {"lib": lib, "x": x}
            exec("\n".join(self.lines), names)
            names["out"].backward()
            return names["out"].detach()

        out = wrap(program)()
        return out.item(), np.zeros((2, 3)) if x.grad is None else x.grad.numpy()
