"""Module: the base class of layers and models."""

from __future__ import annotations

import itertools
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..autograd.hooks import RemovableHandle
from ..core.context import Epoch, local, no_grad
from ..core.device import Device, is_device
from ..core.dtypes import as_dtype, is_float
from ..core.errors import RanvierError, StateError
from ..core.held import same
from ..core.tensor import with_grad
from ..tensor import Tensor
from .gradient_hooks import Passage
from .parameter import Parameter

__all__ = ["Module"]

M = TypeVar("M", bound="Module")
_hook_ids = itertools.count()
_NOTHING: Any = object()


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict(strict=False)` passed over."""

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"

    __str__ = __repr__


class _Hook:
    __slots__ = ("call", "kind", "with_kwargs")

    def __init__(self, call: Callable, kind: str, with_kwargs: bool = False):
        self.call, self.kind, self.with_kwargs = call, kind, with_kwargs


class Module:
    """Base class of all layers and models.

    Assigning a `Parameter` or a `Module` to an attribute registers it; `forward` says what is computed.
    Calling `super().__init__()` first is customary but not needed.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(rv.ones(3))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, p in Scale().named_parameters()]
    ['factor']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _hooks: dict[int, Any]
    _edits: int  # changes of what forward may depend on, besides values of tensors and `training`
    if TYPE_CHECKING:  # registered parameters, buffers and modules are attributes

        def __getattr__(self, name: str) -> Any: ...

    # Registered values also live in __dict__, so that reading `self.weight` in forward is a plain attribute
    # access; the registries keep order and kind. __setattr__ and __delattr__ keep both in step.

    def __new__(cls: type[M], *args: Any, **kwargs: Any) -> M:
        self = object.__new__(cls)
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _transient=set(), _hooks={}, _edits=0
        )
        return self

    def __init__(self) -> None:
        pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    # ------------------------------------------------------------------ call

    # A subclass's forward may return more than one Tensor. But were the result Any, `return self.layers(x)` would be an
    # error in strictly typed scripts, and editors would know nothing of a loss.
    def __call__(self, input: Any = _NOTHING, /, *args: Any, **kwargs: Any) -> Tensor:
        try:
            if self._hooks or args or kwargs or input is _NOTHING or local.tracer is not None:
                return self._call(args if input is _NOTHING else (input, *args), kwargs)
            return self.forward(input)  # one argument and nothing else to do: the common case
        except RanvierError as error:
            self._locate(error)
            raise

    def _call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        if local.tracer is not None:
            with local.tracer.layer(self):
                return self._call_hooked(args, kwargs)
        if self._hooks:
            return self._call_hooked(args, kwargs)
        return self.forward(*args, **kwargs)

    def _locate(self, error: RanvierError) -> None:
        """Add this module's part to the path of the layer that raised."""
        raised_in = getattr(error, "_module", None)
        path = next((name for name, m in self.named_modules() if m is raised_in), "")
        error.in_layer(path, type(self).__name__)
        error._module = self  # type: ignore[attr-defined]

    def _call_hooked(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        hooks = list(self._hooks.values())
        of_gradients = {k: [hook.call for hook in hooks if hook.kind == k] for k in ("grad_output", "grad_input")}
        passage = Passage(self, *of_gradients.values()) if local.grad_enabled and any(of_gradients.values()) else None
        for hook in hooks:
            if hook.kind != "before":
                continue
            result = hook.call(self, args, kwargs) if hook.with_kwargs else hook.call(self, args)
            if result is not None:
                if hook.with_kwargs:
                    args, kwargs = result
                else:
                    args = result if isinstance(result, tuple) else (result,)
        if passage is not None:
            args = passage.enter(args)
        output = self.forward(*args, **kwargs)
        for hook in hooks:
            if hook.kind != "after":
                continue
            if hook.with_kwargs:
                result = hook.call(self, args, kwargs, output)
            else:
                result = hook.call(self, args, output)
            if result is not None:
                output = result
        return output if passage is None else passage.leave(output)

    def _add_hook(self, hook: _Hook, prepend: bool) -> RemovableHandle:
        id = next(_hook_ids)
        rest = dict(self._hooks) if prepend else {}
        if prepend:
            self._hooks.clear()
        self._hooks[id] = hook
        self._hooks.update(rest)
        self._edited()
        return RemovableHandle(self._take_off, id)

    def _take_off(self, id: int) -> None:
        if self._hooks.pop(id, None) is not None:
            self._edited()

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; a result other than None replaces the arguments."""
        return self._add_hook(_Hook(hook, "before", with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; a result other than None replaces the output."""
        return self._add_hook(_Hook(hook, "after", with_kwargs), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` in each backward pass, before it goes through this module: with the gradients of
        its results, a tuple. A result other than None replaces them.
        """
        return self._add_hook(_Hook(hook, "grad_output"), prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when a backward pass has gone through this module: with the gradients
        of its positional arguments (None where there is none) and of its results. A result other than None replaces the
        former.

        >>> import ranvier as rv
        >>> from ranvier import nn
        >>> layer = nn.Linear(2, 1)
        >>> seen = []
        >>> handle = layer.register_full_backward_hook(lambda m, gi, go: seen.append(go[0].tolist()))
        >>> (layer(rv.ones(1, 2, requires_grad=True)) * 3).sum().backward()
        >>> seen
        [[[3.0]]]
        """
        return self._add_hook(_Hook(hook, "grad_input"), prepend)

    register_backward_hook = register_full_backward_hook

    # ------------------------------------------------------------------ registration

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register(self._parameters, name, value)
        elif isinstance(value, Module):
            self._register(self._modules, name, value)
        elif name in self._parameters:
            self._require(value is None, name, value, "parameter", "Parameter")
            self._register(self._parameters, name, None)
        elif name in self._modules:
            self._require(value is None, name, value, "child module", "Module")
            self._register(self._modules, name, None)
        elif name in self._buffers:
            self._require(value is None or isinstance(value, Tensor), name, value, "buffer", "Tensor")
            self._register(self._buffers, name, value)
        else:
            before = self.__dict__.get(name, _NOTHING)
            object.__setattr__(self, name, value)
            if name == "training":
                Epoch.bump()
            elif not same(before, value):
                self._edited()

    def _edited(self) -> None:
        """Make compiled functions look again at what they were traced from."""
        self.__dict__["_edits"] += 1
        Epoch.bump()

    def _require(self, ok: bool, name: str, value: Any, role: str, kind: str) -> None:
        if not ok:
            raise TypeError(
                f"cannot assign {type(value).__name__} to {role} {name!r} of {type(self).__name__}: "
                f"a {kind} or None is needed"
            )

    def _register(self, registry: dict[str, Any], name: str, value: Any) -> None:
        if name not in registry:
            for other in (self._parameters, self._buffers, self._modules):
                other.pop(name, None)
            self._transient.discard(name)
        if self.__dict__.get(name) is not value:
            self._edited()
        registry[name] = value
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for registry in (self._parameters, self._buffers, self._modules):
            registry.pop(name, None)
        self._transient.discard(name)
        self._edited()

    def _new_name(self, name: str, registry: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name {name!r} must be a string")
        if not name or "." in name:
            raise KeyError(f"name {name!r} must not be empty or contain a dot")
        if name not in registry and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name for no parameter."""
        self._new_name(name, self._parameters)
        self._require(param is None or isinstance(param, Parameter), name, param, "parameter", "Parameter")
        self._register(self._parameters, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained; `persistent`: part of state_dict."""
        self._new_name(name, self._buffers)
        self._require(tensor is None or isinstance(tensor, Tensor), name, tensor, "buffer", "Tensor")
        self._register(self._buffers, name, tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under `name`."""
        self._new_name(name, self._modules)
        self._require(module is None or isinstance(module, Module), name, module, "child module", "Module")
        self._register(self._modules, name, module)

    register_module = add_module

    # ------------------------------------------------------------------ walking

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, each once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly below this one, each once."""
        return (child for _, child in self.named_children())

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        walk = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in walk:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with dotted names; a shared one is listed once, under its first name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; "" is this one."""
        module: Any = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no child module {name!r} (of {target!r})")
            module = child
        return module

    def _get_member(self, registry: str, role: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        value = getattr(module, registry).get(name)
        if value is None:
            raise AttributeError(f"{type(module).__name__} has no {role} {name!r} (of {target!r})")
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._get_member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_member("_buffers", "buffer", target)

    # ------------------------------------------------------------------ state

    def _named_state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and persistent buffers in state_dict's order, shared ones under each of their names."""
        for name, p in self._parameters.items():
            if p is not None:
                yield prefix + name, p
        for name, b in self._buffers.items():
            if b is not None and name not in self._transient:
                yield prefix + name, b
        for name, child in self._modules.items():
            if child is not None:
                yield from child._named_state(f"{prefix}{name}.")

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name; the tensors share memory with the module's.

        `keep_vars`: give the parameters themselves instead of detached tensors.
        """
        state = self._named_state(prefix)
        return OrderedDict((name, t if keep_vars else t.detach()) for name, t in state)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into parameters and buffers, in place, so that whoever holds them sees the new values.

        Args:
            state_dict: names to tensors, NumPy arrays, or anything that NumPy can read as an array.
            strict: names must match exactly; else the result lists those passed over.
            assign: take over the state_dict's memory and dtypes instead of copying into the module's.

        Everything is checked first: where anything does not fit, StateError (a RuntimeError) lists all
        that is wrong and nothing has changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict of type {type(state_dict).__name__} must be a mapping")
        own = dict(self._named_state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and missing:
            problems.append(f"missing keys: {', '.join(map(repr, missing))}")
        if strict and unexpected:
            problems.append(f"unexpected keys: {', '.join(map(repr, unexpected))}")
        todo = []
        for name, target in own.items():
            if name not in state_dict:
                continue
            value = state_dict[name]
            try:
                array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
            except (TypeError, ValueError, RuntimeError) as error:
                problems.append(f"{name}: {type(value).__name__} cannot be read as an array: {error}")
                continue
            if array.shape != target.shape:
                problems.append(f"{name}: shape {array.shape} in the state_dict, {target.shape} in the module")
            elif assign and is_float(array.dtype) == is_float(target.dtype):
                todo.append((target, array))
            elif not np.can_cast(array.dtype, target.dtype, "same_kind"):
                problems.append(f"{name}: dtype {array.dtype} in the state_dict, {target.dtype} in the module")
            else:
                todo.append((target, array.astype(target.dtype, copy=False)))
        if problems:
            raise StateError(f"load_state_dict: {type(self).__name__}:\n    " + "\n    ".join(problems))
        with no_grad():
            for target, array in todo:
                if assign:
                    target.hold(array)
                else:
                    target.copy_(array)
        return IncompatibleKeys(missing, unexpected)

    def save(self, path: Any) -> None:
        """Write state_dict to a safetensors file."""
        from ..saving import save_module

        save_module(self, path)

    def load(self, path: Any, strict: bool = True) -> IncompatibleKeys:
        """Read a safetensors file into this module; see `load_state_dict`."""
        from ..saving import load_module

        return load_module(self, path, strict)

    # ------------------------------------------------------------------ modes and conversion

    def summary(self, input: Any = None, *, dtype: Any = None, verbose: int = 1) -> Any:
        """Print a table of the layers, their parameters and, with an input, the shapes of their outputs.

        Args:
            input: a tensor or an array, or the shape of one, such as (1, 784); a list of them for several inputs.
            dtype, verbose: as of `rv.summary`, which says more.
        """
        from ..profiling.layers import summary

        several = input if isinstance(input, list) else [input]
        as_shapes = all(isinstance(x, (tuple, list)) and all(isinstance(n, int) for n in x) for x in several)
        given = {} if input is None else {"input_size" if as_shapes else "input_data": input}
        return summary(self, **given, dtype=dtype, verbose=verbose)  # type: ignore[arg-type]

    def train(self: M, mode: bool = True) -> M:
        """Set training mode here and below: dropout and batch norm depend on it."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode={mode!r} must be a bool")
        Epoch.bump()  # compiled functions look again at the modes of their modules
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set requires_grad of all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        if set_to_none and local.tracer is not None:
            local.tracer.grads_cleared(self.parameters())
        for p in self.parameters() if set_to_none else with_grad(self.parameters()):
            if set_to_none:
                p.grad = None
            else:
                g: Any = p.grad
                if g.requires_grad:
                    g = p.grad = g.detach()
                g.zero_()

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn(module)` on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _convert(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        """Replace the values of parameters, gradients and buffers; the tensor objects stay."""
        for t in [*self.parameters(), *self.buffers()]:
            before = t.detach()
            after = fn(before)
            if after is not before:
                t.data = after
            if t.grad is not None:
                t.grad = fn(t.grad.detach())
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """`to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`, in place; integers stay."""
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None)
        if kwargs:
            raise TypeError(f"to: unknown arguments {sorted(kwargs)}")
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif is_device(arg):
                device = arg
            elif not isinstance(arg, bool):  # a bool is non_blocking
                dtype = arg
        dtype = None if dtype is None else as_dtype(dtype)
        if dtype is not None and not is_float(dtype):
            raise TypeError(f"to: dtype={dtype} must be float32 or float64")

        def move(t: Tensor) -> Tensor:
            if device is not None:
                t = t.to(device)
            return t.to(dtype) if dtype is not None and is_float(t.dtype) else t

        return self._convert(move)

    def float(self: M) -> M:
        """All floating-point parameters and buffers as float32."""
        return self.to(np.dtype("float32"))

    def double(self: M) -> M:
        """All floating-point parameters and buffers as float64."""
        return self.to(np.dtype("float64"))

    def cpu(self: M) -> M:
        """All parameters and buffers in the CPU's memory."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """All parameters and buffers in a GPU's memory."""
        return self.to(Device("cuda" if device is None else device))

    # ------------------------------------------------------------------ text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The arguments shown in repr; subclasses define it."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {indent(repr(child))}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = (extra.split("\n") if extra else []) + self._child_lines()
        if not lines or (extra and len(lines) == 1):
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def indent(text: str) -> str:
    return text.replace("\n", "\n  ")
