"""Hooks of modules that see gradients in the backward pass."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function, is_tensor
from ..core.errors import DTypeError, GradError


class Passage:
    """One call of a module: its tensor arguments go in through `enter`, its results come out through `leave`."""

    def __init__(self, module: Any, before: list, after: list):
        self.module, self.before, self.after = module, before, after
        self.grad_output: tuple = ()
        self.entered: tuple = ()
        self.n_args = 0

    def enter(self, args: tuple) -> tuple:
        """The arguments, those that require a gradient as copies whose gradients the hooks see."""
        self.n_args = len(args)
        places = [k for k, t in enumerate(args) if is_tensor(t) and t.requires_grad]
        if not places:
            return args
        self.entered = _Enter.apply(self, places, *(args[k] for k in places))
        copies = dict(zip(places, self.entered))
        return tuple([copies.get(k, t) for k, t in enumerate(args)])

    def leave(self, output: Any) -> Any:
        """The output, whose gradients the hooks see."""
        name = type(self.module).__name__
        for t in self.entered:
            if t.version:
                raise GradError(f"{name}: changes its input in place, which hooks of its gradients would not see")
        several = isinstance(output, (tuple, list))
        outs = tuple(output) if several else (output,)
        if not all(is_tensor(t) for t in outs):
            raise DTypeError(f"{name}: with hooks of its gradients a module must return a tensor or a tuple of them")
        if not any(t.requires_grad for t in outs):
            return output
        made = _Leave.apply(self, *outs)
        if not several:
            return made[0]
        return made if type(output) is tuple else type(output)(made)

    def run_before(self, grad_output: tuple) -> tuple:
        """The hooks of `grad_output`, as it comes from behind."""
        for hook in self.before:
            grad_output = _replaced(hook(self.module, grad_output), grad_output)
        self.grad_output = grad_output
        if not self.entered:
            self.run_after((None,) * self.n_args)
        return grad_output

    def run_after(self, grad_input: tuple) -> tuple:
        """The hooks of `grad_input`, as forward has left it."""
        for hook in self.after:
            grad_input = _replaced(hook(self.module, grad_input, self.grad_output), grad_input)
        return grad_input


def _replaced(new: Any, gradients: tuple) -> tuple:
    if new is None:
        return gradients
    new = new if isinstance(new, tuple) else (new,)
    if len(new) != len(gradients):
        raise GradError(f"backward hook: has returned {len(new)} gradients, must return {len(gradients)} or None")
    return new


class _Enter(Function):
    @staticmethod
    def forward(ctx: Any, passage: Passage, places: list[int], *tensors: Any) -> tuple:
        ctx.passage, ctx.places = passage, places
        ctx.set_materialize_grads(False)
        return tuple([t.clone() for t in tensors])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple:
        given = dict(zip(ctx.places, gradients))
        found = ctx.passage.run_after(tuple([given.get(k) for k in range(ctx.passage.n_args)]))
        return None, None, *(found[k] for k in ctx.places)


class _Leave(Function):
    @staticmethod
    def forward(ctx: Any, passage: Passage, *tensors: Any) -> tuple:
        ctx.passage = passage
        ctx.set_materialize_grads(False)
        return tuple([t.clone() for t in tensors])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple:
        return None, *ctx.passage.run_before(gradients)
