"""What a run of `fit` consists of, besides the model, the optimizer and the history."""

from __future__ import annotations

from typing import Any

from ..data.sampler import generator_state, restore_generator
from .callbacks import Callback


class Run:
    """A run that can be gone on with.

    Args:
        seed: of the order and the split. order: the generator, or the sampler, of the orders to come. hooks: callbacks.

    Attributes:
        epochs: how many are complete. stopped: whether a callback has ended the run.
    """

    def __init__(self, seed: int, order: Any, hooks: list[Callback]):
        self.seed, self.order, self.hooks = seed, order, hooks
        self.epochs, self.stopped = 0, False

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on after the epochs that are complete."""
        return {
            "seed": self.seed,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "order": generator_state(self.order),
            "callbacks": [[type(hook).__name__, hook.state_dict()] for hook in self.hooks],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, with callbacks of the same types in the same order."""
        saved, own = [name for name, _ in state["callbacks"]], [type(hook).__name__ for hook in self.hooks]
        if saved != own:
            raise ValueError(f"fit: resume needs the callbacks of the run that it goes on with, {saved}, but has {own}")
        for hook, (_, entry) in zip(self.hooks, state["callbacks"], strict=True):
            hook.load_state_dict(entry)
        restore_generator(self.order, state["order"])
        self.epochs, self.stopped = state["epochs"], state["stopped"]
