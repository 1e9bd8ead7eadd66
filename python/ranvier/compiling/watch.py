"""Python state that a traced function names: what its closures, globals and objects hold."""

from __future__ import annotations

import dis
import functools
import inspect
import random
import sys
import sysconfig
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..core.held import CONTAINERS, SCALARS, ModuleState, is_value, items_of, same
from ..core.tensor import TensorBase

_MISSING: Any = object()
_MOST_STEPS = 8  # from object to object


class Entry(NamedTuple):
    """A place that a function reads, and what it held: `holder` is a cell, a dict (with `key`), or an object (with the
    attribute `key`). With `items`, of a container in a cell of its own, these are meant.
    """

    holder: Any
    key: str | None
    value: Any
    items: tuple | None
    name: str

    def now(self) -> Any:
        try:
            if self.key is None:
                return self.holder.cell_contents
            return self.holder.get(self.key, _MISSING) if type(self.holder) is dict else getattr(self.holder, self.key)
        except (ValueError, AttributeError):  # an empty cell, no such attribute any more
            return _MISSING

    def renewed(self) -> Entry:
        """The same place with what it holds now."""
        value = self.now()
        return self._replace(value=value, items=None if self.items is None else items_of(value))

    def holds(self) -> bool:
        value = self.now()
        if value is self.value and self.items is None:
            return True
        return same(value, self.value) and (self.items is None or same(items_of(value), self.items))

    def put_back(self) -> None:
        """Have the place hold again what it did."""
        value = self.value
        if self.items is not None:
            value.clear()
            if isinstance(value, dict):
                value.update(zip(self.items[::2], self.items[1::2]))
            else:
                (value.update if isinstance(value, set) else value.extend)(self.items)
        if self.now() is value:
            return
        if self.key is None:
            self.holder.cell_contents = value
        elif type(self.holder) is dict:
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)


# ---------------------------------------------------------------- names in code


class Names(NamedTuple):
    """What a code object, with the functions defined in it, reads and writes by name."""

    globals: tuple[str, ...]
    attributes: frozenset[str]
    stored: frozenset[str]  # attributes
    strings: frozenset[str]


_NO_NAMES = Names((), frozenset(), frozenset(), frozenset())


@functools.lru_cache(1024)
def names_of(code: types.CodeType) -> Names:
    globals_: dict[str, None] = {}
    loaded: set[str] = set()
    stored: set[str] = set()
    strings = {value for value in code.co_consts if isinstance(value, str)}
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            globals_[step.argval] = None
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            loaded.add(step.argval)
        elif step.opname == "STORE_ATTR":
            stored.add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            names = names_of(inner)
            globals_.update(dict.fromkeys(names.globals))
            loaded |= names.attributes
            stored |= names.stored
            strings |= names.strings
    return Names(tuple(globals_), frozenset(loaded), frozenset(stored), frozenset(strings))


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@functools.cache
def _is_library(module: str | None) -> bool:
    """Whether the state of a module of this name is left alone: Ranvier's, the standard library's, installed ones."""
    root = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return root == "ranvier" or (file.startswith(_LIBRARIES) if file else root in sys.stdlib_module_names)


def _is_library_code(value: Any) -> bool:
    """Whether `value` is a module, class or function of a library."""
    if isinstance(value, types.ModuleType):
        return _is_library(value.__name__)
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc)):
        return _is_library(getattr(value, "__module__", None) or "numpy")
    return False


def _has_state(value: Any) -> bool:
    """Whether `value`, no module, class or function, has attributes that anybody may set."""
    home = type(value).__module__
    return not home.startswith("ranvier.") and (hasattr(value, "__dict__") or not _is_library(home))


def _is_module(value: Any) -> bool:
    return hasattr(type(value), "named_modules")


class Watch:
    """What the functions from `roots` on depend on: the places that they read by name, and what they find there.

    entries: places whose value a trace takes for granted. modules: nn.Modules. leaves: tensors that require gradients.
    ndarrays: NumPy's, as places. tensors: all of them; arrays: ids of theirs. strings: that are in the code.
    random: generators of random numbers that are not Ranvier's; draws: whether some code names one.
    """

    def __init__(self, roots: Iterable[Any]):
        self.entries: list[Entry] = []
        self.modules: dict[int, Any] = {}
        self.leaves: dict[int, Any] = {}
        self.tensors: list[Any] = []
        self.ndarrays: list[Entry] = []
        self.arrays: set[int] = set()
        self.optimizers: list[Any] = []
        self.strings: set[str] = set()
        self.random: list[Any] = [random._inst, np.random.mtrand._rand]  # type: ignore[attr-defined]
        self.read = {"__call__"}  # names of attributes
        self.written: set[str] = set()
        self.draws = False
        self._objects: dict[int, Any] = {}
        self._seen: set[Any] = set()
        self._keep: list[Any] = []  # what `_seen` knows by id
        self.add(roots)

    def add(self, roots: Iterable[Any]) -> None:
        """Look at these values too, and at all that follows from them."""
        for value in roots:
            self._value(value)
        for _ in range(_MOST_STEPS):  # an attribute's function may read more attributes
            known = len(self._seen)
            for thing in list(self._objects.values()):
                for name in sorted(self.read):
                    if self._first((id(thing), name)):
                        self._attribute(thing, name)
            if known == len(self._seen):
                break

    def _first(self, key: Any, value: Any = None) -> bool:
        if key in self._seen:
            return False
        self._seen.add(key)
        self._keep.append(value)
        return True

    def _value(self, value: Any, name: str = "a container") -> None:
        """What `name` stands for."""
        owner = value.__self__ if isinstance(value, (types.BuiltinMethodType, types.MethodType)) else value
        if owner is random or owner is np.random or isinstance(owner, _GENERATORS):
            self.draws = True
            if isinstance(owner, _GENERATORS) and self._first(id(owner), owner):
                self.random.append(owner)
        elif isinstance(value, (types.ModuleType, type)):
            if not _is_library_code(value):
                self._objects[id(value)] = value
        elif isinstance(value, SCALARS) or not self._first(id(value), value):
            pass
        elif isinstance(value, TensorBase):
            self.tensors.append(value)
            self.arrays.add(id(value._data))
            if value._requires_grad and value._node is None:
                self.leaves[id(value)] = value
        elif isinstance(value, np.ndarray):
            if (items := items_of(value)) is not None:
                self.ndarrays.append(Entry(types.CellType(value), None, value, items, name))
        elif _is_module(value):
            self._module(value)
        elif isinstance(value, (tuple, *CONTAINERS)):
            items = value if isinstance(value, tuple) else items_of(value)
            if items is not value and items is not None:
                self.entries.append(Entry(types.CellType(value), None, value, items, name))
            for item in items or ():
                self._value(item, name)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._value(part)
        elif isinstance(value, types.MethodType):
            self._value(value.__self__)
            self._value(value.__func__)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif hasattr(value, "__wrapped__"):  # a compiled function, or another around one
            self._value(value.__wrapped__)
        elif hasattr(value, "param_groups"):
            self.optimizers.append(value)
            for group in value.param_groups:
                self.leaves.update((id(p), p) for p in group["params"])
        elif _has_state(value):
            self._objects[id(value)] = value
        elif type(value).__module__.startswith("ranvier."):  # sees to its own state, but not to what users gave it
            for part in list(getattr(value, "__dict__", {}).values()):
                for item in (items_of(part) or ()) if isinstance(part, CONTAINERS) else (part,):
                    self._value(item)

    def _function(self, f: types.FunctionType) -> None:
        own = _is_library_code(f)  # then only what it was given counts
        names = _NO_NAMES if own else names_of(f.__code__)
        self.read |= names.attributes
        self.written |= names.stored
        self.strings |= names.strings
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            entry = Entry(cell, None, None, None, f"{name!r} of the enclosing function").renewed()
            if entry.value is not _MISSING:
                if not own:
                    self.entries.append(entry)
                self._value(entry.value, entry.name)
        for name in names.globals:
            value = f.__globals__.get(name, _MISSING)
            if value is _MISSING or not self._first((id(f.__globals__), name)):
                continue
            label = f"the global {name!r}"
            self.draws |= value is np and "random" in names.attributes
            if not (isinstance(value, types.ModuleType) and _is_library_code(value)):
                self.entries.append(Entry(f.__globals__, name, value, None, label))
            self._value(value, label)
        for value in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self._value(value)

    def _module(self, root: Any) -> None:
        """An nn.Module; rebinding of its attributes is for the guards to see."""
        for module in root.modules():
            self.modules[id(module)] = module
            self._seen.add(id(module))
            self._keep.append(module)
            for p in module._parameters.values():
                self._value(p)
            for hook in module._hooks.values():
                self._value(hook.call)
            if _is_library(type(module).__module__):
                self._value(module.__dict__.get("forward"))
                continue
            self._attribute(module, "forward")
            self._objects[id(module)] = module

    def _attribute(self, holder: Any, name: str) -> None:
        raw = inspect.getattr_static(holder, name, _MISSING)
        if raw is _MISSING:
            return
        label = f"{name!r} of a {type(holder).__name__}"
        if isinstance(raw, (staticmethod, classmethod)):
            return self._value(raw.__func__)
        if isinstance(raw, property):
            return self._value(raw.fget)
        own = getattr(holder, "__dict__", {})
        if name not in own and hasattr(type(raw), "__get__") and not isinstance(raw, types.MemberDescriptorType):
            if isinstance(raw, types.FunctionType):  # a method
                kind = holder if isinstance(holder, type) else type(holder)
                self.entries.append(Entry(kind, name, raw, None, f"the method {name!r} of {kind.__name__}"))
            return self._value(raw)
        if _is_module(holder):
            return self._value(own.get(name), label)
        try:
            value = getattr(holder, name)
        except AttributeError:  # an empty slot
            return
        if isinstance(holder, types.ModuleType):
            if isinstance(value, types.ModuleType) and _is_library_code(value):
                return
            label = f"{name!r} of the module {holder.__name__}"
        self.entries.append(Entry(holder, name, value, None, label))
        self._value(value, label)


# ---------------------------------------------------------------- before and after a trace


def _random_state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state(legacy=False)


def _set_random_state(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def _grown(entry: Entry) -> bool:
    """Whether a container has only got new items: it records what is traced, as a print does."""
    items = items_of(entry.now())
    return items is None or same(items[: len(entry.items or ())], entry.items)


class Change(NamedTuple):
    """Python state that a function has changed while it was traced."""

    what: str
    instead: str  # what to write instead
    put_back: Callable[[], None]


class Before:
    """Random states before a trace; everything else that a trace may change knows what it was."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self.random = [(g, _random_state(g)) for g in watch.random]

    def changes(self, modules: Iterable[ModuleState]) -> list[Change]:
        """What is not as it was; from now on it is taken as it is."""
        found = []
        entries = []
        for entry in self.watch.entries:
            now = entry.renewed()
            if entry.holds():
                now = entry
            elif entry.items is not None and _grown(entry):
                continue
            elif is_value(now.value):
                found.append(Change(entry.name, _IN_A_TENSOR, entry.put_back))
            else:
                now = entry
            entries.append(now)
        self.watch.entries = entries
        for state in modules:
            kind = type(state.module).__name__
            for name in [] if state.edits == state.module._edits else state.changed():
                value = state.module.__dict__.get(name)
                if is_value(value) and is_value(state.attributes.get(name)):
                    put_back = functools.partial(setattr, state.module, name, state.attributes.get(name))
                    found.append(Change(f"{name!r} of a {kind}", _IN_A_BUFFER, put_back))
        alone = threading.active_count() == 1  # another thread may have drawn them
        for generator, state in self.random if alone or self.watch.draws else ():
            if not _equal(_random_state(generator), state):
                whose = "Python's" if isinstance(generator, random.Random) else "NumPy's"
                put_back = functools.partial(_set_random_state, generator, state)
                found.append(Change(f"the state of {whose} random numbers", _DRAW, put_back))
        return found


_IN_A_TENSOR = "keep it in a tensor that is changed in place, or take it as an argument and return the new one"
_IN_A_BUFFER = "keep it in a buffer, as self.register_buffer('count', rv.zeros(())), and change that in place"
_DRAW = "draw with rv.rand() and the like, or take the numbers as an argument"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_equal(a[k], b[k]) for k in a)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
