"""L-BFGS: a quasi-Newton method whose steps evaluate the loss several times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import ops
from ..core.context import enable_grad, no_grad, refuse_trace
from ..tensor import Tensor
from .optimizer import Optimizer


class _Point(NamedTuple):
    """A place on the line of a search: the step, and the loss, gradient and slope there."""

    t: float
    loss: float
    grad: Tensor
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal, 1980), for problems without noise: `step(closure)` makes up to max_iter
    iterations, and calls `closure`, which computes the loss and its gradients, up to max_eval times (None: 1.25
    max_iter).

    Args:
        params: Tensors, in one group.
        tolerance_grad: stop where no gradient is larger.
        tolerance_change: stop where neither the parameters nor the loss change by more.
        history_size: how many past steps stand for the curvature.
        line_search_fn: None makes steps of `lr`; "strong_wolfe" searches along each direction.

    >>> import ranvier as rv
    >>> w = rv.tensor([-1.0, 1.5], dtype=rv.float64, requires_grad=True)
    >>> optimizer = rv.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     loss = optimizer.step(closure)
    >>> bool((w - 1).abs().max() < 1e-6)
    True
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        defaults = dict(
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS: takes one group of parameters, whose options are the same")
        super().add_param_group(param_group)

    def _check(self, group: dict[str, Any]) -> None:
        for key in ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size"):
            try:
                fits = not isinstance(group[key], str) and float(group[key]) >= 0
            except (TypeError, ValueError):
                fits = False
            if not fits:
                raise ValueError(f"LBFGS: {key}={group[key]!r} must be a number >= 0")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn={group['line_search_fn']!r} must be None or 'strong_wolfe'")

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to max_iter iterations, and return the loss before them."""
        refuse_trace("LBFGS.step")
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that computes the loss and its gradients")
        group = self.param_groups[0]
        params, lr, change = group["params"], float(group["lr"]), group["tolerance_change"]
        state = self.state[params[0]]

        def evaluate() -> tuple[Any, Tensor]:
            with enable_grad():
                loss = closure()
            return loss, ops.cat(
                [ops.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in params]
            )

        def on_line(t: float) -> _Point:
            before = [p.clone() for p in params]
            _move(params, direction, t)
            loss, grad = evaluate()
            for p, old in zip(params, before, strict=True):
                p.copy_(old)
            return _Point(t, float(loss), grad, _dot(grad, direction))

        first_loss, grad = evaluate()
        loss, evaluations, iterations = float(first_loss), 1, 0
        direction, t = state.get("d"), state.get("t")
        while iterations < group["max_iter"] and not _largest(grad) <= group["tolerance_grad"]:
            iterations += 1
            fresh = direction is None
            direction = self._direction(state, grad, direction, t, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            t = min(1.0, 1.0 / float(grad.abs().sum())) * lr if fresh else lr
            slope = _dot(grad, direction)
            if slope > -change:
                break
            old_loss = loss
            if group["line_search_fn"] is not None:
                start = _Point(0.0, loss, grad, slope)
                most = group["max_eval"] - evaluations
                (t, loss, grad, _), used = _strong_wolfe(on_line, start, t, _largest(direction), most)
                _move(params, direction, t)
                evaluations += used
            else:
                _move(params, direction, t)
                if iterations < group["max_iter"]:  # of a loss with noise the last one would be of no use
                    last, grad = evaluate()
                    loss = float(last)
                    evaluations += 1
            if (
                evaluations >= group["max_eval"]
                or _largest(direction) * abs(t) <= change
                or iterations < group["max_iter"]
                and abs(loss - old_loss) < change
            ):
                break
        state.update(
            d=direction,
            t=t,
            func_evals=state.get("func_evals", 0) + evaluations,
            n_iter=state.get("n_iter", 0) + iterations,
        )
        return first_loss

    @staticmethod
    def _direction(state: dict[str, Any], grad: Tensor, last: Tensor | None, t: float, history_size: int) -> Tensor:
        """Minus the gradient times the approximate inverse Hessian of the past steps, which gets the last one."""
        if last is None:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -grad
        change, step = grad - state["prev_flat_grad"], last * t
        curvature = _dot(change, step)
        history = (state["old_dirs"], state["old_stps"], state["ro"])
        if curvature > 1e-10:
            for past, new in zip(history, (change, step, 1.0 / curvature), strict=True):
                past.append(new)
                del past[: max(0, len(past) - history_size)]
            state["H_diag"] = curvature / _dot(change, change)
        result, shares = -grad, []
        for change, step, ro in zip(*map(reversed, history)):
            shares.append(_dot(step, result) * float(ro))
            result = result - shares[-1] * change
        result = result * float(state["H_diag"])
        for change, step, ro, share in zip(*history, reversed(shares)):
            result = result + (share - _dot(change, result) * float(ro)) * step
        return result


def _dot(a: Tensor, b: Tensor) -> float:
    return float(ops.dot(a, b))


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _move(params: list[Tensor], direction: Tensor, t: float) -> None:
    """Go t times `direction`, one vector for all parameters."""
    start = 0
    for p in params:
        p.add_(direction[start : start + p.numel()].reshape(p.shape), alpha=t)
        start += p.numel()


def _cubic(a: _Point, b: _Point, low: float, high: float) -> float:
    """Where the cubic through the losses and slopes at `a` and `b` is least, within [low, high]."""
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    span = b.slope - a.slope + 2 * d2
    if span == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / span), low), high)


def _strong_wolfe(
    on_line: Callable[[float], _Point], start: _Point, t: float, longest: float, most: int
) -> tuple[_Point, int]:
    """A point with a loss that is low enough and a slope that is flat enough (the strong Wolfe conditions), or the best
    within about `most` evaluations, and their number. Source: Nocedal and Wright, "Numerical Optimization",
    algorithms 3.5 and 3.6.
    """
    c1, c2, shortest = 1e-4, 0.9, 1e-9

    def too_high(point: _Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    before, new, turns = start, on_line(t), 0
    while turns < most:  # until an interval has such a point inside
        if too_high(new) or turns > 1 and new.loss >= before.loss:
            break
        if flat(new):
            return new, turns + 1
        if new.slope >= 0:
            break
        t = _cubic(before, new, new.t + 0.01 * (new.t - before.t), new.t * 10)
        before, new = new, on_line(t)
        turns += 1
    else:
        before = start
    low, high = (before, new) if before.loss <= new.loss else (new, before)
    near_edge = False
    while turns < most and abs(high.t - low.t) * longest >= shortest:  # narrow it
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = _cubic(low, high, left, right), 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near_edge = False
        elif near_edge or not left < t < right:
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_edge = False
        else:
            near_edge = True
        new = on_line(t)
        turns += 1
        if too_high(new) or new.loss >= low.loss:
            low, high = (low, new) if low.loss <= new.loss else (new, low)
        elif flat(new):
            return new, turns + 1
        else:
            if new.slope * (high.t - low.t) >= 0:
                high = low
            low = new
    return low, turns + 1
