"""The optimizers, with PyTorch's names, arguments and defaults. Each step of a group is one op of
`ops.optim`.

`foreach`, `fused` and `capturable` are taken for PyTorch's sake and change nothing: every step is fused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops import optim as rules
from .fused import FusedOptimizer

__all__ = [
    "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop",
]  # fmt: skip


def _options(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options among a constructor's `locals()`."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "__class__")}


class SGD(FusedOptimizer):
    """Stochastic gradient descent, with momentum.

    g += weight_decay p;  b = momentum b + (1 - dampening) g;  p -= lr (g + momentum b if nesterov else b)

    >>> import ranvier as rv
    >>> from ranvier import optim
    >>> w = rv.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.0, 0.0]
    """

    _rule = rules.sgd

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(params, _options(locals()))

    def _begin(self, entry: dict[str, Any]) -> None:
        if entry.get("momentum_buffer") is None:
            entry.pop("step", None)
        else:  # PyTorch counts no steps: where there is a buffer, there was one
            entry.setdefault("step", 1.0)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening == 0, not "
                f"momentum={group['momentum']}, dampening={group['dampening']}"
            )


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba, 2014): steps of lr m / (sqrt(v) + eps) with bias-corrected running means of g and
    g^2.

    >>> import ranvier as rv
    >>> from ranvier import optim
    >>> w = rv.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = optim.Adam([w], lr=0.1)
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> bool((w.abs() < 0.01).all())
    True
    """

    _rule = rules.adam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        super().__init__(params, _options(locals()))


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr weight_decay before each step (Loshchilov and Hutter,
    2017).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(params, **_options(locals()), decoupled_weight_decay=True)


class Adamax(FusedOptimizer):
    """Adam with the infinity norm of past gradients instead of their mean square (Kingma and Ba, 2014)."""

    _rule = rules.adamax

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class NAdam(FusedOptimizer):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    _rule = rules.nadam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class RAdam(FusedOptimizer):
    """Adam whose step is rectified while the variance of v is large (Liu et al., 2019)."""

    _rule = rules.radam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class RMSprop(FusedOptimizer):
    """Steps of lr g / (sqrt(s) + eps) with s the running mean of g^2 (Hinton, 2012); `centered` subtracts
    mean(g)^2.
    """

    _rule = rules.rmsprop

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class Adagrad(FusedOptimizer):
    """Steps of lr g / (sqrt(sum of g^2) + eps) (Duchi et al., 2011)."""

    _rule = rules.adagrad

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(params, _options(locals()))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a dict with "params" and options that differ from the defaults; the sums begin at once, as in
        PyTorch.
        """
        super().add_param_group(param_group)
        group = self._param_groups[-1]
        self._refresh(group)
        self._complete_states(group, group["params"])


class Adadelta(FusedOptimizer):
    """Steps of g sqrt(mean of past steps^2 + eps) / sqrt(mean of g^2 + eps) (Zeiler, 2012)."""

    _rule = rules.adadelta

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class ASGD(FusedOptimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992); the averages are in
    `state[p]["ax"]`.
    """

    _rule = rules.asgd

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        super().__init__(params, _options(locals()))


class Rprop(FusedOptimizer):
    """Resilient backpropagation (Riedmiller and Braun, 1993): a step size for each element, steered by signs
    alone.
    """

    _rule = rules.rprop

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(params, _options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        minus, plus = group["etas"]
        if not 0 < minus < 1 < plus:
            raise ValueError(f"Rprop: etas={group['etas']} must be (minus, plus) with 0 < minus < 1 < plus")
