"""Python state that a compiled function reads or changes: compiled is eager, or says that it is not."""

from __future__ import annotations

import collections
import functools
import gc
import random
import threading
import types
import weakref

import numpy as np
import pytest
import ranvier as rv
from compiled_support import counted, t
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.core.errors import TraceError
from ranvier.train import Trainer

ONE = rv.ones(1)
SCALE = 2.0
MODEL = nn.Linear(1, 1)
OPTIONS = {"scale": 2.0, "signs": [1, 1]}


def _scaled(x):  # a function that the compiled one calls
    return x * SCALE


def set_global(value):
    global SCALE
    SCALE = value


@pytest.fixture(autouse=True)
def globals_as_before():
    global SCALE, MODEL
    before = SCALE, MODEL
    yield
    SCALE, MODEL = before
    OPTIONS.update(scale=2.0, signs=[1, 1])


# ---------------------------------------------------------------- what is read


class Config:
    rate = 1.0

    def __init__(self, scale):
        self.scale = scale

    def times(self, x):
        return x * self.scale * self.rate


def closure():
    k = 2.0

    def set_k(value):
        nonlocal k
        k = value

    return lambda x: x * k, set_k


def read_global():
    return lambda x: x * SCALE, set_global


def read_through_a_function():
    return lambda x: _scaled(x), set_global


def read_inside_of_a_comprehension():
    return lambda x: sum(x * SCALE for _ in range(1)), set_global


def attribute_of_an_object():
    config = Config(2.0)
    return lambda x: x * config.scale, lambda value: setattr(config, "scale", value)


def attribute_in_a_method():
    config = Config(2.0)
    return lambda x: config.times(x), lambda value: setattr(config, "scale", value)


def attribute_of_a_class():
    config = Config(2.0)
    return lambda x: config.times(x), lambda value: setattr(config, "rate", value / 2.0)


def entry_of_a_dict():
    return lambda x: x * OPTIONS["scale"], lambda value: OPTIONS.update(scale=value)


def item_of_a_list():
    k = [2.0]
    return lambda x: x * k[0], lambda value: k.__setitem__(0, value)


def item_of_a_nested_list():
    k = {"scales": [[2.0], 3]}
    return lambda x: x * k["scales"][0][0], lambda value: k["scales"][0].__setitem__(0, value)


def module_in_a_list():
    def scale(value):
        return nn.Linear(1, 1, bias=False).apply(lambda m: nn.init.constant_(m.weight, value)).requires_grad_(False)

    box = types.SimpleNamespace(layers=[scale(2.0)])
    return lambda x: box.layers[0](x), lambda value: box.layers.__setitem__(0, scale(value))


def tensor_in_a_dict():
    k = {"scale": rv.full((1,), 2.0)}
    return lambda x: x * k["scale"], lambda value: k.update(scale=rv.full((1,), value))


def size_of_a_set():
    k = {1, 2}
    return (
        lambda x: x * float(len(k)),
        lambda value: k.update(range(int(value))) or k.intersection_update(range(int(value))),
    )


def end_of_a_queue():
    k = collections.deque([1.0, 2.0], maxlen=2)
    return lambda x: x * k[-1], lambda value: k.append(value)


def another_list_with_equal_items():
    box = types.SimpleNamespace(k=[2.0])

    def change(value):
        box.k = list(box.k)
        box.k[0] = value

    return lambda x: x * box.k[0], change


def values_of_an_array():
    k = np.array([2.0, 1.0])
    return lambda x: x * float(k[0]), lambda value: k.__setitem__(0, value)


def copy_of_an_array():
    k = np.full(1, 2.0, np.float32)
    return lambda x: x * rv.tensor(k), lambda value: k.fill(value)


def another_object():
    box = types.SimpleNamespace(config=Config(2.0))
    return lambda x: x * box.config.scale, lambda value: setattr(box, "config", Config(value))


def a_tuple():
    box = types.SimpleNamespace(k=(2.0, 1.0))
    return lambda x: x * box.k[0], lambda value: setattr(box, "k", (value, 1.0))


def another_function():
    box = types.SimpleNamespace(f=lambda x: x * 2.0)
    return lambda x: box.f(x), lambda value: setattr(box, "f", lambda x: x * value)


def a_function_of_a_library():
    box = types.SimpleNamespace(f=lambda x: x * 2.0)
    return lambda x: box.f(x), lambda value: setattr(box, "f", functools.partial(rv.mul, other=value))


def an_array():
    box = types.SimpleNamespace(k=np.full(1, 2.0, np.float32))
    return lambda x: x * box.k, lambda value: setattr(box, "k", np.full(1, value, np.float32))


@pytest.mark.parametrize("calls", [1, 3])  # traced; by the quick way
@pytest.mark.parametrize("make", [
    closure, read_global, read_through_a_function, read_inside_of_a_comprehension, attribute_of_an_object,
    attribute_in_a_method, attribute_of_a_class, entry_of_a_dict, item_of_a_list, another_object, item_of_a_nested_list,
    module_in_a_list, tensor_in_a_dict, size_of_a_set, end_of_a_queue, another_list_with_equal_items, values_of_an_array, copy_of_an_array, a_tuple,
    another_function, a_function_of_a_library, an_array,
], ids=lambda f: f.__name__)  # fmt: skip
def test_what_names_stand_for_is_read_anew(make, calls):
    f, change = make()
    g, traces = counted(f)
    for _ in range(calls):
        assert g(ONE).item() == f(ONE).item() == 2.0
    assert len(traces) == 1
    change(5.0)
    for _ in range(calls):
        assert g(ONE).item() == f(ONE).item() == 5.0
    assert len(traces) == 2
    assert g(np.ones(1, np.float32)).item() == 5.0
    change(2.0)
    assert g(ONE).item() == 2.0


def test_an_equal_value_is_no_change():
    k = 1000.5

    def set_k(value):
        nonlocal k
        k = value

    g, traces = counted(lambda x: x * k)
    for _ in range(3):
        set_k(float("1000.5"))
        assert g(ONE).item() == 1000.5
    assert len(traces) == 1
    k = 1.0
    assert g(ONE).item() == 1.0
    set_k(True)  # another dtype in other places
    assert g(ONE).item() == 1.0 and len(traces) == 3
    set_k(-0.0)
    assert g(ONE).signbit().item()
    set_k(0.0)
    assert not g(ONE).signbit().item()


def test_an_array_that_is_an_operand_is_read_where_it_lies():
    k = np.full(1, 2.0, np.float32)
    g, traces = counted(lambda x: x * k)
    for value in (2.0, 3.0, 4.0):
        k[0] = value
        assert g(ONE).item() == value
    assert len(traces) == 1


def test_arguments_that_are_equal_but_not_the_same():
    class Scale:
        def __init__(self, k):
            self.k = k

        def __eq__(self, other):
            return isinstance(other, Scale)

        def __hash__(self):
            return 1

    g = rv.compile(lambda x, scale: x * scale.k)
    two, three = Scale(2.0), Scale(3.0)
    for _ in range(2):
        assert g(ONE, two).item() == 2.0 and g(ONE, three).item() == 3.0


def test_arguments_are_not_kept():
    g = rv.compile(lambda x: x * 2)
    x = rv.ones(3)
    g(x), g(x)
    ref = weakref.ref(x)
    del x
    gc.collect()
    assert ref() is None


def test_a_name_that_only_looks_like_a_global_is_not_watched():
    box = types.SimpleNamespace(SCALE=3.0)
    g, traces = counted(lambda x: x * box.SCALE)
    for value in range(3):
        set_global(value)
        assert g(ONE).item() == 3.0
    assert len(traces) == 1


def test_a_model_that_is_made_again():
    global MODEL
    x = t(4, 1)

    @rv.compile
    def step(x):
        loss = (MODEL(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(2):
        MODEL = nn.Linear(1, 1)
        optimizer = optim.SGD(MODEL.parameters(), lr=0.1)
        losses = [step(x).item() for _ in range(5)]
        assert losses[-1] < losses[0]
        assert (MODEL(x) ** 2).mean().item() < losses[-1]


def test_self_of_a_compiled_method():
    class Layer:
        def __init__(self):
            self.k = 2.0

        @rv.compile
        def __call__(self, x):
            return self.helper(x)

        def helper(self, x):
            return x * self.k

    layer, other = Layer(), Layer()
    other.k = 7.0
    for _ in range(3):
        assert layer(ONE).item() == 2.0 and other(ONE).item() == 7.0
    layer.k = 3.0
    for _ in range(3):
        assert layer(ONE).item() == 3.0 and other(ONE).item() == 7.0


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask, self.act, self.sizes = rv.ones(1), rv.relu, [1]
        self.weight = nn.Parameter(rv.ones(1))

    def forward(self, x):
        self.last = x  # written, never read
        return self.act(x) * self.weight * self.mask * self.sizes[0]


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("change", [
    lambda m: setattr(m, "mask", rv.zeros(1)), lambda m: setattr(m, "mask", np.full(1, 3, np.float32)),
    lambda m: setattr(m, "mask", np.float32(4)), lambda m: setattr(m, "act", rv.exp), lambda m: m.sizes.__setitem__(0, 5),
    lambda m: setattr(m, "sizes", (6,)), lambda m: setattr(m, "forward", lambda x: x * 7),
    lambda m: setattr(m, "act", nn.Tanh()),
])  # fmt: skip
def test_plain_attributes_of_a_module(change, calls):
    model, x = nn.Sequential(nn.Identity(), Masked()), rv.ones(1)
    compiled, step, trainer = rv.compile(model), rv.compile(lambda x: model(x)), Trainer(model, "mse", "sgd")
    array = np.ones((1, 1), np.float32)
    for _ in range(calls):
        assert compiled(x).item() == step(x).item() == trainer.predict(array).item() == 1.0
    change(model[1])
    expected = model(x).item()
    assert expected != 1.0
    for _ in range(calls):
        assert compiled(x).item() == step(x).item() == trainer.predict(array).item() == expected


def test_an_attribute_that_forward_writes_makes_no_trace_stale():
    model = Masked()
    g, traces = counted(lambda x: model(x))
    for _ in range(3):
        assert g(ONE).item() == model(ONE).item() == 1.0
    assert len(traces) == 1


def test_a_name_that_changes_at_each_call_earns_a_word():
    f, change = closure()
    g = rv.compile(f)
    with pytest.warns(UserWarning, match="'k' of the enclosing function changes between its calls; pass that"):
        for value in range(10):
            change(float(value))
            assert g(ONE).item() == value


# ---------------------------------------------------------------- what is changed


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x * self.count


def count_in_a_module():
    return Counting()


def count_in_a_closure():
    k = 0

    def f(x):
        nonlocal k
        k += 1
        return x * k

    return f


def count_in_an_object():
    box = types.SimpleNamespace(k=0)

    def f(x):
        box.k += 1
        return x * box.k

    return f


def count_in_a_dict():
    counts = {"k": 0}

    def f(x):
        counts["k"] += 1
        return x * counts["k"]

    return f


def python_random():
    return lambda x: x * random.random()


def numpy_random():
    return lambda x: x * float(np.random.rand())


def numpy_generator():
    rng = np.random.default_rng(0)
    return lambda x: x * float(rng.normal())


@pytest.mark.parametrize("make, hint", [
    (count_in_a_module, "register_buffer"), (count_in_a_closure, "'k' of the enclosing function"),
    (count_in_an_object, "'k' of a SimpleNamespace"), (count_in_a_dict, "'counts'"), (python_random, "rv.rand"),
    (numpy_random, "NumPy's random"), (numpy_generator, "rv.rand"),
], ids=lambda f: getattr(f, "__name__", ""))  # fmt: skip
@pytest.mark.parametrize("alone", [True, False])
def test_state_that_each_call_changes_is_refused(make, hint, alone):
    done = threading.Event()
    if not alone:  # as progress bars leave one
        threading.Thread(target=done.wait).start()
    try:
        check_refused(make, hint)
    finally:
        done.set()


def check_refused(make, hint):
    f = make()
    g = rv.compile(f)
    before = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(TraceError, match=hint):
        g(ONE)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    if make.__name__.startswith("count"):
        assert f(ONE).item() == 1.0  # nothing has been counted


def test_state_that_is_the_same_after_each_call():
    class Sized(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = 0

        def forward(self, x):
            self.rows = len(x)
            random.seed(0)
            return x.sum() / self.rows * random.random()

    model = Sized()
    g, traces = counted(lambda x: model(x))
    for n in (3, 3, 2, 2, 3):
        assert same_bits(g(rv.ones(n)).numpy(), model(rv.ones(n)).numpy())
    assert len(traces) == 6  # each time that the number changes it is made sure that it then stays


def test_a_record_of_traces_is_no_state():
    seen = []

    @rv.compile
    def f(x):
        seen.append(x.shape)
        return x + 1

    for _ in range(3):
        f(ONE)
    assert seen == [(1,)]


@pytest.mark.parametrize("change", [
    lambda o, s: s.step(), lambda o, s: o.param_groups[0].update(lr=0.5), lambda o, s: o.param_groups.pop(),
    lambda o, s: o.param_groups[0].__setitem__("lr", o.param_groups[0]["lr"] / 2),
    lambda o, s: optim.Adam([rv.ones(1, requires_grad=True)]),
])  # fmt: skip
def test_schedules_and_options_inside_are_refused(change):
    w = rv.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @rv.compile
    def step():
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
        change(optimizer, scheduler)

    for _ in range(2):
        with pytest.raises(TraceError, match="happen once, while it is traced"):
            step()
    assert w.item() == 1.0 and optimizer.param_groups[0]["lr"] == 1.0 and scheduler.last_epoch == 0


def test_an_option_that_is_set_to_what_it_is():
    w = rv.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    @rv.compile
    def step():
        optimizer.param_groups[0]["lr"] = 1.0
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    step(), step()
    assert w.item() == -1.0
