"""Networks of sequences: whole training steps, and one sequence through the trained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import gpt
from .networks import Network, training_step
from .peak import Peak
from .peer_onnx import bound, recurrent_session
from .peers import torch_or_none
from .runner import US, Contender, Row, Settings, Target, aligned, race, repeat


@dataclass(frozen=True)
class Case:
    """A network, the length of its sequences, and what its step and its single sequence are held against."""

    network: Network
    step: Target
    alone: Target


def recurrent(kind: str, features: int, hidden: int, layers: int, length: int, batch: int, step: float) -> Case:
    """A network that reads the last state of `kind`, and classifies into ten."""

    def make(lib: Any) -> Any:
        class Classifier(lib.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.memory = getattr(lib.nn, kind)(features, hidden, layers, batch_first=True)
                self.top = lib.nn.Linear(hidden, 10)

            def forward(self, x: Any) -> Any:
                return self.top(self.memory(x)[0][:, -1])

        return Classifier()

    def inputs() -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        return random.standard_normal((batch, length, features), np.float32), random.integers(0, 10, batch)

    several = f", {layers} layers" if layers > 1 else ""
    name = f"{kind} {features}-{hidden}{several}, T={length}, batch {batch}"
    return Case(Network(name, make, inputs), Target(step, "torch"), Target(2, "best peer"))


CASES = [
    recurrent("LSTM", 40, 128, 1, 100, 32, 2),
    recurrent("LSTM", 16, 32, 1, 50, 16, 10),
    recurrent("GRU", 64, 256, 2, 50, 64, 1.5),
]


def one_sequence(case: Case, settings: Settings) -> dict[str, Contender]:
    """The network on the first sequence of its batch: with Ranvier frozen, with ONNX Runtime, and as it comes."""
    import ranvier as rv

    x = aligned(case.network.inputs()[0][:1])
    model = case.network.make(rv).eval()
    frozen, ours = rv.compile(model, frozen=True), rv.tensor(x)

    def predict() -> None:
        with rv.no_grad():
            frozen(ours)

    contenders = {US: repeat(predict)}
    if (torch := torch_or_none(settings)) is not None:
        theirs, tensor = case.network.make(torch).eval(), torch.from_numpy(x)

        def predict_torch() -> None:
            with torch.no_grad():
                theirs(tensor)

        contenders["torch"] = repeat(predict_torch)
    try:
        session = recurrent_session(model.memory, model.top, x.shape, settings)
    except ImportError:
        return contenders
    np.testing.assert_allclose(session.run(None, {"x": x})[0], frozen(ours).detach().numpy(), rtol=1e-3, atol=1e-4)
    return {**contenders, "onnxruntime": bound(session, x)}


def measure(settings: Settings, peak: Peak) -> list[Row]:
    import ranvier

    libraries = {US: ranvier, "torch": torch_or_none(settings)}
    rows = []
    for case in CASES:
        name = case.network.name
        alone = name[: name.rindex(", batch")]
        if settings.wants(name):
            there = {key: lib for key, lib in libraries.items() if lib is not None}
            contenders = {key: repeat(training_step(key, lib, case.network)) for key, lib in there.items()}
            rows.append(_row("training step", name, contenders, case.step, settings))
        if settings.wants(alone):
            rows.append(_row("one sequence", alone, one_sequence(case, settings), case.alone, settings))
    return [*rows, *gpt.measure(libraries, settings)]


def _row(group: str, name: str, contenders: dict[str, Contender], target: Target, settings: Settings) -> Row:
    values = {key: s * 1e6 for key, s in race(contenders, settings).items()}
    return Row(group, name, "us", values, targets=[target])
