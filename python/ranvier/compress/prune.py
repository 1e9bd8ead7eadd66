"""Pruning: which weights, or whole neurons, channels and heads, count least, and taking them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.errors import DomainError
from ..core.tensor import as_tensor
from ..nn import Module
from ..nn import functional as F
from ..random import draw_seed
from ..train import Callback
from ..train.predictor import evaluating
from .common import as_inputs, check_share, note, owned_copy, plain_layer, require_module
from .flow import Flow, Group
from .shrink import without

IMPORTANCE = ("l1", "l2", "taylor", "random")
_SCOPES = ("layer", "global")


def prune(
    model: Module,
    ratio: float,
    example: Any,
    structured: bool = True,
    importance: str = "l1",
    data: Any = None,
    *,
    scope: str = "layer",
    loss: Callable | None = None,
    skip: Any = (),
) -> Module:
    """A smaller copy of `model`, without the share `ratio` of its neurons, channels and heads that counts least; or, with
    structured=False, a copy of the same shapes where that share of the weights is zero.

    Args:
        example: inputs of one batch, by which the model is traced.
        importance: "l1": sum |w| of all weights of a neuron (or |w| of one weight); "l2": the root of the sum w^2;
            "taylor": |sum w dL/dw|, by how much the loss would change to first order (Molchanov et al. 2019), on `data`;
            "random".
        data: for "taylor" batches (x, ..., y): a tuple (x, y), or a loader.
        loss: for "taylor": a function (output, y); None: cross-entropy for whole numbers, squares for others.
        scope: "layer": the share of each layer; "global": of all together, each measured against its layer's mean.
        skip: names of layers (or beginnings of them) that keep all of theirs.

    What cannot be followed stays whole, and `rv.compress.notes(result)` names it. Zeros alone make no model faster: see
    `rv.compress.shrink` and `rv.compress.sparse`.

    Raises:
        DomainError: a ratio outside [0, 1), an unknown importance, "taylor" without data, nothing that can be pruned.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> rv.compress.prune(model, 0.5, rv.zeros(1, 4))
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=2, bias=True)
    )
    """
    require_module("prune", model)
    ratio = check_share("prune", "ratio", ratio)
    inputs = as_inputs(example)
    _check(importance, data, scope)
    gradients = _gradients(model, data, loss) if importance == "taylor" else {}
    if not structured:
        masks = _weight_masks(model, ratio, importance, gradients, scope, _names(skip))
        result = owned_copy(model)
        Masks(result, masks)
        note(
            result, ["its zeros take as long as other numbers: rv.compress.sparse measures what a sparse product gains"]
        )
        return result
    flow = Flow(model, inputs)
    groups = flow.groups()
    chosen = _least(model, flow, groups, ratio, importance, gradients, scope, _names(skip))
    return without(model, inputs, flow, chosen, groups)


def _names(skip: Any) -> tuple[str, ...]:
    return (skip,) if isinstance(skip, str) else tuple(skip)


def _check(importance: str, data: Any, scope: str) -> None:
    if importance not in IMPORTANCE:
        raise DomainError(f"prune: importance={importance!r} must be one of {', '.join(map(repr, IMPORTANCE))}")
    if scope not in _SCOPES:
        raise DomainError(f"prune: scope={scope!r} must be 'layer' or 'global'")
    if importance == "taylor" and data is None:
        raise DomainError("prune: importance='taylor' needs data: batches (x, ..., y)")


def _skipped(name: str, skip: tuple[str, ...]) -> bool:
    return any(name == s or name.startswith(f"{s}.") for s in skip)


# ---------------------------------------------------------------- importance


def _gradients(model: Module, data: Any, loss: Callable | None) -> dict[str, np.ndarray]:
    """The gradient of the loss for each parameter, over all of `data`."""
    whole = isinstance(data, tuple) and all(hasattr(part, "shape") for part in data)
    copy = owned_copy(model)
    copy.zero_grad()
    count = 0
    with evaluating(copy):
        for batch in [data] if whole else data:
            *xs, y = map(as_tensor, batch)
            output = copy(*xs)
            if loss is not None:
                value = loss(output, y)
            else:
                value = F.mse_loss(output, y) if y.dtype.kind == "f" else F.cross_entropy(output, y)
            if not np.isfinite(value.item()):
                raise DomainError(f"prune: the loss on batch {count} of data is {value.item()}")
            value.backward()
            count += 1
    if not count:
        raise DomainError("prune: data has no batches")
    return {name: p.grad.numpy() for name, p in copy.named_parameters() if p.grad is not None}


def _scores(model: Module, importance: str, gradients: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each weight adds to the importance of what it is part of."""
    rng = np.random.default_rng(draw_seed()) if importance == "random" else None
    scores = {}
    for name, p in model.named_parameters():
        w = p.detach().numpy()
        if rng is not None:
            scores[name] = rng.uniform(size=w.shape)
        elif importance == "taylor":
            scores[name] = w * gradients[name] if name in gradients else np.zeros(w.shape)
        else:
            scores[name] = np.abs(w) if importance == "l1" else w.astype(np.float64) ** 2
    return scores


def _of_group(group: Group, scores: dict[str, np.ndarray], importance: str) -> float:
    total = sum(
        float(np.take(scores[name], places, axis).sum())
        for (name, axis), places in group.members.items()
        if name in scores and (scores[name].ndim > 1 or importance == "taylor")
    )
    return abs(total) if importance == "taylor" else total**0.5 if importance == "l2" else total


def _least(
    model: Module, flow: Flow, groups: list[Group], ratio: float, importance: str, gradients: dict[str, np.ndarray],
    scope: str, skip: tuple[str, ...],
) -> list[Group]:  # fmt: skip
    """The groups to remove: of each layer, or of all, the share that counts least; one of each layer stays."""
    families: dict[tuple, list[Group]] = {}
    for g in groups:
        if not g.reason and not any(axis == 0 and _skipped(name.rpartition(".")[0], skip) for name, axis in g.members):
            families.setdefault(g.family, []).append(g)
    if not families:
        reasons = sorted({g.reason for g in groups if g.reason})
        raise DomainError(f"prune: {type(model).__name__} has nothing that can be removed: {'; '.join(reasons)}")
    scores = _scores(model, importance, gradients)
    measured = {f: np.array([_of_group(g, scores, importance) for g in members]) for f, members in families.items()}
    chosen: list[Group] = []
    if scope == "layer":
        for f, members in families.items():
            count = min(int(round(ratio * len(members))), len(members) - 1)
            chosen += [members[i] for i in np.argsort(measured[f], kind="stable")[:count]]
        return chosen
    ranked = [
        (value / (measured[f].mean() or 1.0), f, g)
        for f, members in families.items()
        for value, g in zip(measured[f], members)
    ]
    ranked.sort(key=lambda entry: entry[0])
    left = {f: len(members) for f, members in families.items()}
    for _, f, g in ranked[: int(round(ratio * len(ranked)))]:
        if left[f] > 1:
            left[f] -= 1
            chosen.append(g)
    return chosen


def _weight_masks(
    model: Module, ratio: float, importance: str, gradients: dict[str, np.ndarray], scope: str, skip: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """1 where a weight of a linear layer or a convolution stays."""
    layers = [path for path, m in model.named_modules() if plain_layer(m) and not _skipped(path, skip)]
    names = [f"{path}.weight" if path else "weight" for path in layers]
    if not names:
        raise DomainError(f"prune: {type(model).__name__} has no linear layers or convolutions to prune")
    scores = {name: np.abs(s) for name, s in _scores(model, importance, gradients).items() if name in names}
    if scope == "layer":
        return {name: _keep(s, int(round(ratio * s.size))) for name, s in scores.items()}
    joined = np.concatenate([s.ravel() for s in scores.values()])
    kept = _keep(joined, int(round(ratio * joined.size)))
    ends = np.cumsum([s.size for s in scores.values()])[:-1]
    return {name: part.reshape(s.shape) for (name, s), part in zip(scores.items(), np.split(kept, ends))}


def _keep(scores: np.ndarray, count: int) -> np.ndarray:
    kept = np.ones(scores.size, bool)
    kept[np.argsort(scores, axis=None, kind="stable")[:count]] = False
    return kept.reshape(scores.shape)


# ---------------------------------------------------------------- masks and schedules


class Masks:
    """Zeros that stay: parameters of `model` are multiplied by masks now, and after each step of the optimizers that
    `attach` is told of.

    Args:
        masks: for each parameter, by name, an array of its shape: true where a weight stays.

    >>> import numpy as np, ranvier as rv
    >>> from ranvier import nn, optim
    >>> layer = nn.Linear(2, 1)
    >>> masks = rv.compress.Masks(layer, {"weight": np.array([[True, False]])})
    >>> optimizer = optim.Adam(layer.parameters(), lr=0.1)
    >>> _ = masks.attach(optimizer)
    >>> layer(rv.ones(1, 2)).sum().backward()
    >>> optimizer.step()
    >>> layer.weight[0, 1].item()
    0.0
    """

    def __init__(self, model: Module, masks: dict[str, Any]):
        parameters = dict(model.named_parameters())
        self._gone: dict[str, tuple[Any, Any]] = {}  # parameters, and where they are zero
        for name in masks:
            if name not in parameters:
                raise DomainError(f"Masks: {type(model).__name__} has no parameter {name!r}")
            self._gone[name] = parameters[name], as_tensor(np.zeros(parameters[name].shape, bool))
        self.set(masks)

    def set(self, masks: dict[str, Any]) -> None:
        """Other masks for the same parameters."""
        for name, mask in masks.items():
            p, gone = self._gone[name]
            mask = np.asarray(mask, bool)
            if mask.shape != p.shape:
                raise DomainError(f"Masks: the mask of {name!r} has shape {mask.shape}, the parameter {tuple(p.shape)}")
            gone.copy_(as_tensor(~mask))
        self.apply()

    def apply(self) -> None:
        """Set what is masked to zero."""
        with no_grad():
            for p, gone in self._gone.values():
                p.masked_fill_(gone, 0.0)

    def attach(self, optimizer: Any) -> Any:
        """Apply them after each step of `optimizer`; returns a handle with `remove()`."""
        return optimizer.register_step_post_hook(lambda *_: self.apply())


def cubic(share: float) -> float:
    """1 - (1 - t)^3: fast at first, when much can go, and slow at the end (Zhu and Gupta 2017).

    >>> cubic(0.0), cubic(0.5), cubic(1.0)
    (0.0, 0.875, 1.0)
    """
    return 1 - (1 - share) ** 3


class GradualPruning(Callback):
    """Prunes while a Trainer trains: from epoch `begin` to epoch `end` more and more, up to `ratio`. What is pruned is zero
    from then on; `rv.compress.shrink(model, example)` afterwards makes the model smaller.

    Args:
        schedule: "cubic", "linear", or a function from 0..1 to 0..1. The other arguments: those of `prune`.

    >>> import numpy as np, ranvier as rv
    >>> from ranvier import nn
    >>> x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> pruning = rv.compress.GradualPruning(0.5, x[:1], begin=1, end=3)
    >>> _ = rv.train.Trainer(model, "mse", "adam").fit(x, x[:, :1], epochs=5, callbacks=[pruning], verbose=0)
    >>> rv.compress.shrink(model, x[:1])[0].out_features
    4
    """

    def __init__(
        self, ratio: float, example: Any, begin: int = 0, end: int = 10, schedule: Any = "cubic", structured: bool = True,
        importance: str = "l1", scope: str = "layer", skip: Any = (),
    ):  # fmt: skip
        self.ratio, self.example = check_share("GradualPruning", "ratio", ratio), as_inputs(example)
        known: dict[Any, Callable[[float], float]] = {"cubic": cubic, "linear": lambda share: share}
        if not callable(schedule) and schedule not in known:
            raise DomainError(f"GradualPruning: schedule={schedule!r} must be 'cubic', 'linear' or a function")
        if not 0 <= begin <= end:
            raise DomainError(f"GradualPruning: begin={begin} and end={end} must be epochs in this order")
        if importance == "taylor":
            raise DomainError("GradualPruning: importance='taylor' is for prune(), which is given data")
        _check(importance, None, scope)
        self.begin, self.end, self.schedule = begin, end, schedule if callable(schedule) else known[schedule]
        self.structured, self.importance, self.scope, self.skip = structured, importance, scope, _names(skip)
        self.masks: Masks | None = None

    def ratio_at(self, epoch: int) -> float:
        """What is pruned in that epoch."""
        if epoch < self.begin:
            return 0.0
        span = max(self.end - self.begin, 1)
        return self.ratio * self.schedule(min((epoch - self.begin) / span, 1.0))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        ratio = self.ratio_at(epoch)
        if not ratio or (self.masks is not None and epoch > self.end):
            return
        model = self.trainer.model
        masks = self._masks_for(model, ratio)
        if self.masks is None:
            self.masks = Masks(model, masks)
            self._handle = self.masks.attach(self.trainer.optimizer)
        else:
            self.masks.set(masks)

    def on_train_end(self, logs: dict[str, float]) -> None:
        if self.masks is not None:
            self._handle.remove()
            self.masks = None

    def _masks_for(self, model: Module, ratio: float) -> dict[str, np.ndarray]:
        if not self.structured:
            return _weight_masks(model, ratio, self.importance, {}, self.scope, self.skip)
        flow = Flow(model, self.example)
        chosen = _least(model, flow, flow.groups(), ratio, self.importance, {}, self.scope, self.skip)
        return group_masks(model, chosen)


def group_masks(model: Module, groups: Iterable[Group]) -> dict[str, np.ndarray]:
    """For each parameter, false where it belongs to one of `groups`."""
    masks = {name: np.ones(p.shape, bool) for name, p in model.named_parameters()}
    for g in groups:
        for (name, axis), places in g.members.items():
            if name in masks:
                np.moveaxis(masks[name], axis, 0)[places] = False
    return masks
