"""rv.compile(frozen=True): what follows from weights alone is made once, and again when they have been changed."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref

import numpy as np
import pytest
import ranvier as rv
from ops_support import same_bits
from products import CODE, PRECISIONS, attributes, check, close, exact, operands, product
from ranvier import _native as native
from ranvier import nn, optim
from ranvier.train import Trainer

rng = np.random.default_rng(3)
LONG = 8  # rows from which on every instruction set packs


def operand(slot, array):
    return slot, 0, CODE[array.dtype], array.shape, tuple(s // array.itemsize for s in array.strides)


def packed_product(a, b, flags=0, bias=None):
    """The native product of arrays as they lie, with B packed; whether it was."""
    left, right = a.mT if flags & 1 else a, b.mT if flags & 2 else b
    out = np.full((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), left.shape[-2], right.shape[-1]), np.nan, a.dtype)
    arrays = [a, b] + ([] if bias is None else [bias]) + [out]
    code = ("matmul", [operand(i, x) for i, x in enumerate(arrays[:-1])], [operand(len(arrays) - 1, out)],
            attributes(flags, bias is not None), "product")  # fmt: skip
    plan = native.Plan([("bound", x) for x in arrays], [code], 0, [1])
    plan.run()
    first = out.copy()
    out[...] = np.nan
    plan.run()
    assert same_bits(first, out)
    return out, plan.packed_bytes > 0


# around vectors, panels (8 to 32 columns), pieces of k (170, 256, 512), tiles, what is packed at once (2048)
SHAPES = [
    (8, 17, 9), (9, 33, 40), (14, 32, 16), (31, 257, 65), (57, 129, 700), (130, 70, 1100), (2100, 19, 33), (20, 2100, 65),
    (300, 260, 530), (400, 700, 64), (2070, 240, 64), (257, 300, 530), (8, 5000, 9),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_products(m, n, k, flags, dtype):
    a, b = operands(m, n, k, flags, dtype)
    bias = rng.standard_normal(n).astype(dtype)
    for add in (None, bias):
        out, packed = packed_product(a, b, flags, add)
        assert packed
        close(out, exact(a, b, flags, add), k, 4)


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("m, n, k", [(16, 17, 32), (190, 257, 321), (216, 215, 163), (640, 1100, 100), (195, 2060, 90)])
def test_precisions(m, n, k, flags, precision):
    a, b = operands(m, n, k, flags)
    out, packed = packed_product(a, b, flags | precision)
    assert packed
    check(out, a, b, flags | precision)


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_values_that_terms_do_not_hold(precision):
    """Tiles with infinities, NaN and numbers far apart are computed from B itself."""
    a, b = operands(200, 300, 400, 0)
    b[17, 40], b[300, 200], b[5, 250], a[3, 7] = np.inf, np.nan, 1e37, -np.inf
    b[:, 128:144] *= 1e-30
    out, packed = packed_product(a, b, precision)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = exact(a, b)
    assert packed and same_bits(np.isnan(out), np.isnan(expected))
    plain = np.isfinite(expected) & (np.abs(expected) < 1e30)
    size = np.abs(a.astype("f8")) @ np.abs(b.astype("f8"))
    error = np.abs(out[plain].astype("f8") - expected[plain])
    assert (error <= (2.0**-6 if precision == 16 else 2.0**-14) * size[plain]).all()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize("m, n, k", [(9, 130, 299), (38, 196, 125), (260, 247, 98)])
def test_infinities_and_nan_are_where_they_are_eagerly(m, n, k, precision):
    values = np.array([np.inf, -np.inf, np.nan, 1e15, 0, -0.0], "f4")
    for flags in (0, 1, 2, 3):
        a, b = operands(m, n, k, flags)
        for x in (a, b):
            x[rng.random(x.shape) < 0.003] = rng.choice(values)
            x[rng.integers(len(x)), rng.integers(x.shape[1])] = rng.choice(values)
        a[rng.integers(len(a))] = rng.choice(values)
        out, packed = packed_product(a, b, flags | precision)
        eager = product(a, b, flags | precision)
        assert packed and same_bits(np.isnan(out), np.isnan(eager))
        np.testing.assert_array_equal(np.where(np.isinf(out), out, 0), np.where(np.isinf(eager), eager, 0))


@pytest.mark.parametrize("batch_a", [(3,), (2, 4), (9, 1)])
@pytest.mark.parametrize("flags", [0, 1, 2])
def test_batches_share_the_copy(batch_a, flags):
    a, b = operands(LONG, 40, 70, flags, "f4", batch_a)
    out, packed = packed_product(a, b, flags)
    assert packed
    close(out, exact(a, b, flags), 70, 4)


def test_what_does_not_pay():
    for m, n, k in [(1, 100, 100), (64, 3, 100), (64, 100, 0), (0, 100, 10)]:
        a, b = operands(m, n, k, 0)
        out, packed = packed_product(a, b)
        assert not packed
        close(out, exact(a, b), k, 4)
    a, b = operands(20, 40, 30, 0, "f4", (3,), (3,))  # a B for each A
    assert not packed_product(a, b)[1]


def model_of(seed: int = 0) -> nn.Module:
    rv.manual_seed(seed)
    return nn.Sequential(nn.Linear(40, 70), nn.ReLU(), nn.Linear(70, 50), nn.Tanh(), nn.Linear(50, 33)).eval()


def plan_of(compiled, *args):
    return compiled.traced(*args).program.plan


def near(x, y):
    np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-5)


CHANGES = {
    "an op in place": lambda m: m[0].weight.mul_(2),
    "an item": lambda m: m[2].bias.__setitem__(slice(0, 5), 3.0),
    "a view": lambda m: m[4].weight[3].fill_(1.0),
    "load_state_dict": lambda m: m.load_state_dict(model_of(1).state_dict()),
    "copy_": lambda m: m[2].weight.copy_(rv.ones(50, 70)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_are_noticed(change):
    model, x = model_of(), rv.randn(LONG, 40)
    with rv.no_grad():
        frozen = rv.compile(model, frozen=True)
        near(frozen(x), model(x))
        assert plan_of(frozen._function, x).packed_bytes > 0
        before = frozen(x)
        change(model)
        near(frozen(x), model(x))
        assert not rv.allclose(frozen(x), before)


def test_an_optimizer_step_is_noticed():
    model, x = model_of(), rv.randn(LONG, 40)
    frozen = rv.compile(model, frozen=True)
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (model(x) ** 2).sum().backward()
        optimizer.step()

    for run in (step, rv.compile(step)):
        for _ in range(2):
            with rv.no_grad():
                near(frozen(x), model(x))
            run(x)
    with rv.no_grad():
        near(frozen(x), model(x))


def test_writes_through_numpy_need_renew():
    w = rv.randn(40, 50)
    f = rv.compile(lambda x: x @ w, frozen=True)
    x = rv.randn(LONG, 40)
    before = f(x)
    w.numpy()[...] = 1.0
    assert same_bits(f(x).numpy(), before.numpy())
    f.renew()
    near(f(x), x @ w)


def test_renew_of_a_module():
    model, x = model_of(), rv.randn(LONG, 40)
    frozen = rv.compile(model, frozen=True)
    with rv.no_grad():
        frozen(x)
        model[0].weight.detach().numpy()[...] = 0.1
        frozen.renew()
        near(frozen(x), model(x))


def test_products_that_run_once_come_before_the_copies():
    u, w, x = rv.randn(40, 50), rv.randn(50, 60), rv.randn(LONG, 40)
    f = rv.compile(lambda x: x @ (u @ w), frozen=True)
    for _ in range(3):
        near(f(x), x @ (u @ w))
        w.mul_(1.5)


def test_a_copy_as_each_of_several_products_wants_it():
    """A batch whose products are not one: each has few rows."""
    w = rv.randn(50, 60)
    f = rv.compile(lambda x: x.transpose(0, 1) @ w, frozen=True)
    for rows in (3, 20):
        x = rv.randn(rows, 16, 50)
        near(f(x), x.transpose(0, 1) @ w)


def test_fusion_keeps_apart_what_runs_once():
    w, x = rv.randn(300), rv.randn(4, 300)
    f = rv.compile(lambda x: x * (w * 2 + 1).exp(), frozen=True)
    near(f(x), x * (w * 2 + 1).exp())
    first, second = plan_of(f, x).describe().splitlines()
    assert "mul+add+exp [tile, once" in first and "once" not in second
    g = rv.compile(
        lambda x: x * rv.tanh(w.expand(4, 300)), frozen=True
    )  # of the result's shape: would be made in its memory
    near(g(x), x * rv.tanh(w))
    assert "once" in plan_of(g, x).describe()


def test_what_follows_from_weights_alone_runs_once():
    w, mask = rv.randn(40, 50), (rv.rand(40, 50) > 0.5).float()
    f = rv.compile(lambda x: x @ rv.softmax(w * mask, dim=0) + (w * 2).sum(), frozen=True)
    x = rv.randn(LONG, 40)
    near(f(x), x @ rv.softmax(w * mask, dim=0) + (w * 2).sum())
    plan = plan_of(f, x)
    lines = plan.describe().splitlines()
    assert [", once" in line for line in lines] == [True] * (len(lines) - 1) + [False]
    assert plan.packed_bytes > 0 and "packed" in lines[-1]
    for _ in range(3):
        w.add_(0.5)
        near(f(x), x @ rv.softmax(w * mask, dim=0) + (w * 2).sum())
        mask.mul_(0.5)
        near(f(x), x @ rv.softmax(w * mask, dim=0) + (w * 2).sum())


def test_results_that_do_not_depend_on_arguments():
    w = rv.randn(6, 6)
    f = rv.compile(lambda x: (w.exp(), w.T, x + w.T.exp(), w), frozen=True)
    x = rv.randn(6, 6)
    for _ in range(3):
        for out, expected in zip(f(x), (w.exp(), w.T, x + w.T.exp(), w), strict=True):
            near(out, expected)
        f(x)[0].zero_()  # results are the caller's
        w.add_(1)


def test_states_that_a_run_updates_are_not_fixed():
    w, b = rv.randn(20, 40), rv.zeros(40)

    def f(x):
        b.add_(1)
        w[0] = w[0] * 0.5
        return x @ w + b

    x = rv.randn(LONG, 20)
    start = w.clone()
    frozen = rv.compile(f, frozen=True)
    got = [frozen(x) for _ in range(3)]
    assert plan_of(frozen, x).packed_bytes == 0
    w.copy_(start), b.zero_()
    for out in got:
        near(out, f(x))


def test_one_copy_for_all_that_read_it():
    w = rv.randn(40, 40)

    def f(x):
        for _ in range(5):
            x = rv.tanh(x @ w)
        return x

    x = rv.randn(LONG, 40)
    frozen, once = rv.compile(f, frozen=True), rv.compile(lambda x: x @ w, frozen=True)
    near(frozen(x), f(x))
    near(once(x), x @ w)
    assert plan_of(frozen, x).packed_bytes == plan_of(once, x).packed_bytes


def test_random_numbers_and_training_go_on():
    rv.manual_seed(0)
    layer = nn.Linear(30, 40)
    f = rv.compile(lambda x: nn.functional.dropout(layer(x), 0.5), frozen=True)
    x = rv.randn(LONG, 30)
    assert not same_bits(f(x).detach().numpy(), f(x).detach().numpy())


def test_gradients_of_a_frozen_function():
    layer, x = nn.Linear(30, 40), rv.randn(LONG, 30)
    f = rv.compile(layer, frozen=True)
    f(x).sum().backward()
    got = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(x).sum().backward()
    near(got, layer.weight.grad)


def test_a_fault_leaves_nothing_half_made():
    table, index = rv.randn(10, 40), rv.tensor([1, 11])
    f = rv.compile(lambda x: x @ table[index].T, frozen=True)
    x = rv.randn(LONG, 40)
    for _ in range(2):
        with pytest.raises(IndexError):
            f(x)
    index.copy_(rv.tensor([1, 2]))
    near(f(x), x @ table[index].T)


def test_strides_that_are_refreshed():
    array = rng.standard_normal((80, 40)).astype("f4")
    w = rv.from_numpy(array[::2])  # no C-contiguous array: the plan works on a twin
    f = rv.compile(lambda x: x @ w, frozen=True)
    x = rv.randn(LONG, 40)
    near(f(x), x @ w)
    w.mul_(2)
    near(f(x), x @ w)


def test_predictions_in_blocks_read_weights_anew():
    model = model_of()
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    packed = 0
    x, y = rng.standard_normal((150, 40)).astype("f4"), rng.standard_normal((150, 33)).astype("f4")
    for _ in range(3):
        with rv.no_grad():
            expected = model(rv.from_numpy(x)).numpy()
        np.testing.assert_allclose(trainer.predict(x, batch_size=32), expected, rtol=1e-5, atol=1e-5)
        loss = trainer.evaluate(x, y, batch_size=16)["loss"]
        np.testing.assert_allclose(loss, ((expected - y) ** 2).mean(), rtol=1e-5)
        model[0].weight.detach().numpy()[...] += 0.1  # nobody is told
    for function in (trainer._predictor._function, *(s._compiled for s in trainer._steps.values())):
        packed += sum(t.program.plan.packed_bytes > 0 for traces in function._traces.values() for t in traces)
    assert packed >= 2  # blocks of 32, steps of 16 rows; with longer vectors also that of the last 6


def test_frozen_layers_of_a_training_loop():
    """A loop packs what its steps do not change, and reads it again in the next one."""
    rv.manual_seed(0)
    first, second = nn.Linear(40, 50), nn.Linear(50, 33)
    first.requires_grad_(False)
    model = nn.Sequential(first, second)
    twin = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 33))
    twin.load_state_dict(model.state_dict())
    twin[0].requires_grad_(False)
    x, y = rng.standard_normal((96, 40)).astype("f4"), rng.standard_normal((96, 33)).astype("f4")
    for module, compiled in ((model, True), (twin, False)):
        trainer = Trainer(module, nn.MSELoss(), optim.SGD(module[1].parameters(), lr=0.1), compile=compiled)
        for _ in range(3):
            trainer.fit(x, y, epochs=2, batch_size=32, shuffle=False, verbose=0)
            module[0].weight.numpy()[...] *= 1.1
    near(model[1].weight, twin[1].weight)


def test_loops_over_what_no_plan_can_bind():
    base = rng.standard_normal((33, 40)).astype("f4")

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(rv.from_numpy(base.T))  # 40 x 33, in columns

        def forward(self, x):
            return x @ self.w

    model = Turned()
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    x = rng.standard_normal((160, 40)).astype("f4")
    for _ in range(2):
        loss = trainer.evaluate(x, np.zeros((160, 33), "f4"), batch_size=16)["loss"]
        np.testing.assert_allclose(loss, ((x @ base.T) ** 2).mean(), rtol=1e-5)
        base *= 2


def test_twins_that_are_captured():
    w = rv.randn(40, 50)
    p = nn.Parameter(w)  # the same memory
    f = rv.compile(lambda x: x @ w + x @ p, frozen=True)
    x = rv.randn(LONG, 40)
    with rv.no_grad():
        for change in (w, p):
            near(f(x), x @ w + x @ p)
            change.mul_(2)
        near(f(x), x @ w + x @ p)


def test_learning_rates_are_read_at_each_run():
    model, twin = model_of(), model_of()
    x = rv.randn(LONG, 40)
    steps = []
    for m, frozen in ((model, True), (twin, False)):
        optimizer = optim.Adam(m.parameters(), lr=1e-2)

        def step(x, m=m, optimizer=optimizer):
            optimizer.zero_grad()
            (m(x) ** 2).sum().backward()
            optimizer.step()

        steps.append((rv.compile(step, frozen=frozen), optimizer))
    for lr in (1e-2, 1e-3, 1e-1):
        for step, optimizer in steps:
            optimizer.param_groups[0]["lr"] = lr
            step(x), step(x)
    near(model[0].weight, twin[0].weight)


def test_renew_of_methods_and_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = rv.randn(40, 50)

        @rv.compile(frozen=True)
        def forward(self, x):
            return x @ self.w

        def renew(self):
            return "the module's own"

    net, x = Net(), rv.randn(LONG, 40)
    net.forward(x)
    net.w.numpy()[...] = 1
    net.forward.renew()
    near(net.forward(x), x @ net.w)
    assert rv.compile(net).renew() == "the module's own"


def test_the_end_of_a_watched_tensor_may_come_back():
    """What runs while the list of watched tensors is given up uses the plan."""

    class Back:
        def __del__(self):
            plan.watch([])
            plan.run()
            calls.append(1)

    class Watched(rv.Tensor):
        pass

    calls: list = []
    plan = native.Plan([], [])
    for _ in range(3):
        tensors = [Watched([1.0]) for _ in range(3)]
        for t in tensors:
            t.back = Back()
        plan.watch(tensors)
        del tensors, t
    plan.watch([])
    gc.collect()
    assert len(calls) == 9


@pytest.mark.parametrize("kind", [native.Plan, native.TraceCall])
def test_objects_without_init_are_collected(kind):
    made = kind.__new__(kind)
    with pytest.raises(TypeError):
        made.run()
    gc.collect()
    del made
    gc.collect()


def test_methods_that_give_the_module_give_the_compiled_one():
    compiled = rv.compile(model_of(), frozen=True)
    assert (
        compiled.eval() is compiled
        and compiled.requires_grad_(False) is compiled
        and compiled.to(rv.float64) is compiled
    )
    assert len(list(compiled.parameters())) == 6 and compiled.state_dict().keys() == model_of().state_dict().keys()
    assert type(rv.compile(compiled)) is type(compiled) and rv.compile(rv.compile(near)).fn is near


@pytest.mark.parametrize("frozen", [False, True])
def test_copies_of_what_has_run(frozen):
    model, x = model_of(), rv.randn(LONG, 40)
    compiled = rv.compile(model, frozen=frozen)
    with rv.no_grad():
        compiled(x)
        for twin in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
            near(twin(x), model(x))
            twin._module[0].weight.zero_()
            assert not rv.allclose(twin(x), model(x)) and twin._function.frozen is frozen


def test_renew_while_other_threads_trace_and_run():
    w = rv.randn(40, 50)
    f = rv.compile(lambda x: x @ w, frozen=True)
    done, errors = threading.Event(), []

    def guarded(work):
        try:
            while not done.is_set():
                work()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    rows = iter(range(8, 10**6))
    tasks = [f.renew, lambda: near(f(rv.ones(8, 40)), rv.ones(8, 40) @ w), lambda: f(rv.ones(next(rows), 40))]
    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for t in threads:
        t.start()
    done.wait(0.5)
    done.set()
    for t in threads:
        t.join()
    assert not errors
    for rows in (8, 9):
        w.mul_(1.5)
        near(f(rv.ones(rows, 40)), rv.ones(rows, 40) @ w)


def test_plans_that_watch_tensors_are_collected():
    def make(frozen):
        model = nn.Linear(40, 50)
        f = rv.compile(model, frozen=frozen)
        model.weight.register_hook(lambda g: f and None)  # a way from the tensor back to the plan
        with rv.no_grad():
            f(rv.ones(LONG, 40))
        f(rv.ones(LONG, 40)).sum().backward()
        return weakref.ref(model)

    for frozen in (False, True):
        model = make(frozen)
        gc.collect()
        assert model() is None


def test_other_threads_run_while_much_is_made(request):
    threads = rv.get_num_threads()
    request.addfinalizer(lambda: rv.set_num_threads(threads))
    rv.set_num_threads(1)  # the other thread shall have a processor
    w = rv.randn(4000, 4000)
    f = rv.compile(lambda x: x + rv.softmax(w, dim=1)[0, :4], frozen=True)
    x, gaps, done = rv.ones(4), [], threading.Event()

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    def again() -> float:
        f.renew()
        started = time.perf_counter()
        f(x)
        return time.perf_counter() - started

    took = min(again() for _ in range(5))
    thread = threading.Thread(target=tick)
    thread.start()
    for _ in range(12):
        again()
    done.set()
    thread.join()
    assert sum(gap > 0.9 * took for gap in gaps) < 9  # 12 with the GIL held


def test_plans_check_what_runs_once():
    a, out = np.ones(4, "f4"), np.zeros(4, "f4")
    copy = ("copy", [operand(0, a)], [operand(1, out)], {}, "x")
    slots = [("bound", a), ("bound", out)]
    native.Plan(slots, [copy], 1, [0, 1]).run()
    assert (out == 1).all()
    for once, fixed, what in [(1, [1], "must read fixed slots"), (1, [0], "fixed slots are written"), (0, [0, 1], "fixed slots are written"),
                              (2, [], "number of instructions"), (-1, [], "number of instructions"), (0, [7], "slot 7")]:  # fmt: skip
        with pytest.raises(ValueError, match=what):
            native.Plan(slots, [copy], once, fixed)
    with pytest.raises(ValueError, match="slot 0"):
        native.Plan([("input", 16), ("bound", out)], [copy], 0, [0])
    with pytest.raises(TypeError, match="watch"):
        native.Plan(slots, [copy]).watch([a])
