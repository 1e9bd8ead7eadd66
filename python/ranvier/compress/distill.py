"""Distillation: a small model learns from a large one's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.context import no_grad
from ..core.errors import DomainError
from ..nn import Conv2d, Identity, Linear, Module, ModuleList
from ..nn import functional as F
from ..train import Trainer
from ..train.names import is_binary, loss_by_name, optimizer_by_name, takes_labels
from ..train.predictor import evaluating
from .common import as_inputs, require_module


class DistillationTrainer(Trainer):
    """A Trainer of `student` whose loss is mixed with what `teacher` says:

        (1 - alpha) loss(student(x), y) + alpha T^2 KL(softmax(teacher(x) / T) || softmax(student(x) / T))

    (Hinton, Vinyals and Dean 2015; T^2 keeps the gradients' size). For losses of single scores the classes are yes and no,
    and for others the second term is the mean square of the difference. The teacher is set to evaluation mode and does not
    change. The loss that the history shows is the student's alone.

    Args:
        temperature: T: above 1 the teacher's small probabilities count more. alpha: the share of the teacher.
        features: {layer of the student: layer of the teacher}, by name, whose outputs are to be alike too: the mean square
            of their difference is added, times feature_weight, after a learnt projection where their channels differ
            (FitNets: Romero et al. 2015). Needs `example`, inputs of one batch.
        Further arguments: those of Trainer.

    >>> import numpy as np, ranvier as rv
    >>> from ranvier import nn
    >>> x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    >>> y = (x[:, 0] > 0).astype(np.int64)
    >>> teacher, student = nn.Linear(4, 2), nn.Linear(4, 2)
    >>> trainer = rv.compress.DistillationTrainer(student, teacher, lr=0.05, temperature=4.0, alpha=0.9)
    >>> history = trainer.fit(x, y, epochs=3, seed=0, verbose=0)
    >>> history["loss"][-1] < history["loss"][0]
    True
    """

    def __init__(
        self, student: Module, teacher: Module, loss: Any = "cross_entropy", optimizer: Any = "adam",
        metrics: Iterable[Any] | str = (), *, temperature: float = 2.0, alpha: float = 0.5,
        features: Mapping[str, str] | None = None, feature_weight: float = 1.0, example: Any = None,
        clip_grad_norm: float | None = None, compile: bool = True, **optimizer_options: Any,
    ):  # fmt: skip
        for name, model in (("student", student), ("teacher", teacher)):
            require_module(f"DistillationTrainer: {name}", model)
        if student is teacher:
            raise DomainError("DistillationTrainer: student and teacher must be two models")
        if not temperature > 0:
            raise DomainError(f"DistillationTrainer: temperature={temperature} must be > 0")
        if not 0 <= alpha <= 1:
            raise DomainError(f"DistillationTrainer: alpha={alpha} must be in [0, 1]")
        if not feature_weight >= 0:
            raise DomainError(f"DistillationTrainer: feature_weight={feature_weight} must be >= 0")
        self.teacher, self.temperature, self.alpha = teacher.eval(), float(temperature), float(alpha)
        self.feature_weight = float(feature_weight)
        self.features = dict(features or {})
        self.projections = ModuleList()
        self._of_student, self._of_teacher = (
            _Taps(student, list(self.features)), _Taps(teacher, list(self.features.values())),
        )  # fmt: skip
        if self.features:
            if example is None:
                raise DomainError("DistillationTrainer: features need `example`, inputs of one batch")
            self._project(student, as_inputs(example))
        parameters = [*student.parameters(), *self.projections.parameters()]
        super().__init__(
            student, loss_by_name(loss), optimizer_by_name(optimizer, parameters, **optimizer_options), metrics,
            clip_grad_norm=clip_grad_norm, compile=compile,
        )  # fmt: skip

    def _project(self, student: Module, inputs: tuple[Any, ...]) -> None:
        with evaluating(student), no_grad():
            student(*inputs), self.teacher(*inputs)
        for (name, other), a, b in zip(self.features.items(), self._of_student.take(), self._of_teacher.take()):
            channels = 1 if a.ndim == 4 else -1
            if a.ndim != b.ndim or _but(a.shape, channels) != _but(b.shape, channels):
                raise DomainError(
                    f"DistillationTrainer: the outputs of {name!r}{tuple(a.shape)} and of the teacher's {other!r}"
                    f"{tuple(b.shape)} differ in more than their channels"
                )
            if a.shape == b.shape:
                self.projections.append(Identity())
            elif a.ndim == 4:
                self.projections.append(Conv2d(a.shape[1], b.shape[1], 1, bias=False))
            else:
                self.projections.append(Linear(a.shape[-1], b.shape[-1], bias=False))

    def blend(self, inputs: tuple[Any, ...], output: Any, loss: Any) -> Any:  # type: ignore[override]
        """The student's loss, mixed with the teacher's part."""
        with no_grad():
            target = self.teacher(*inputs)
        value = (1 - self.alpha) * loss + self.alpha * self._soft(output, target)
        pairs = zip(self._of_student.take(), self._of_teacher.take(), strict=True)
        for projection, (ours, theirs) in zip(self.projections, pairs):
            value = value + self.feature_weight * F.mse_loss(projection(ours), theirs)
        return value

    def _soft(self, output: Any, target: Any) -> Any:
        t = self.temperature
        if takes_labels(self.loss):
            axis = 1 if output.ndim > 1 else 0
            rows = output.numel() // output.shape[axis]
            log_q = F.log_softmax(output / t, axis)
            log_p = F.log_softmax(target / t, axis)
            return t * t * (log_p.exp() * (log_p - log_q)).sum() / rows
        if is_binary(self.loss):
            p = F.sigmoid(target / t)
            cross, own = (F.binary_cross_entropy_with_logits(scores / t, p) for scores in (output, target))
            return t * t * (cross - own)
        return F.mse_loss(output, target)


def _but(shape: tuple[int, ...], axis: int) -> list[int]:
    sizes = list(shape)
    del sizes[axis]
    return sizes


class _Taps:
    """What some layers of a model gave when it was called last."""

    def __init__(self, model: Module, names: list[str]):
        self.seen: dict[str, Any] = {}
        for name in dict.fromkeys(names):
            model.get_submodule(name).register_forward_hook(
                lambda _, args, out, name=name: self.seen.__setitem__(name, out)
            )
        self.names = names

    def take(self) -> list[Any]:
        found = [self.seen[name] for name in self.names]
        self.seen.clear()
        return found
