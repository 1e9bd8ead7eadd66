"""What users change of an optimizer between its steps, eager and compiled: states, groups, options, copies; hooks; own
optimizers."""

import copy
import pickle
from collections import defaultdict

import numpy as np
import pytest
import ranvier as rv
from ranvier import optim

MODES = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])


def stepper(lib, optimizer, params, compiled):
    """step(scale): a step with gradients scale * (1, 2, ...) for each parameter."""
    scale = lib.tensor(1.0, dtype=lib.float64)

    def step():
        optimizer.zero_grad()
        sum((p * (i + 1) * scale).sum() for i, p in enumerate(params)).backward()
        optimizer.step()

    run = lib.compile(step) if compiled and lib is rv else step

    def once(value):
        scale.fill_(value)
        run()

    return once


def two(lib):
    return [lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in ([1.0, 2.0], [[3.0]])]


def flat(params):
    return np.concatenate([p.detach().numpy().ravel() for p in params])


def clear(lib, o, params):
    o.state.clear()


def replace(lib, o, params):
    o.state = defaultdict(dict)


def delete(lib, o, params):
    del o.state[params[1]]


def pop(lib, o, params):
    o.state.pop(params[0])


def restart_count(lib, o, params):
    o.state[params[0]]["step"] = lib.tensor(0.0)


def zero_count_in_place(lib, o, params):
    o.state[params[1]]["step"].zero_()


def add_to_count(lib, o, params):
    o.state[params[1]]["step"] += 5


def new_average(lib, o, params):
    o.state[params[0]]["exp_avg"] = lib.full((2,), 7.0, dtype=lib.float64)


def average_in_place(lib, o, params):
    o.state[params[0]]["exp_avg"].mul_(-3.0)


def new_entry(lib, o, params):
    o.state[params[1]] = {k: v.clone() for k, v in o.state[params[1]].items()}
    o.state[params[1]]["exp_avg_sq"].fill_(9.0)


def load(lib, o, params):
    saved = copy.deepcopy(o.state_dict())
    saved["param_groups"][0]["lr"] = 0.7
    saved["state"][0]["exp_avg"] = saved["state"][0]["exp_avg"] * 2
    o.load_state_dict(saved)


def new_groups(lib, o, params):
    group = dict(o.param_groups[0])
    o.param_groups = [{**group, "params": params[:1], "lr": 0.5}, {**group, "params": params[1:], "lr": 0.01}]


def fewer_groups(lib, o, params):
    del o.param_groups[0]["params"][0]


def new_params(lib, o, params):
    o.param_groups[0]["params"] = params[1:]


def rates(lib, o, params):
    o.param_groups[0]["lr"] = 0.9
    o.param_groups[0]["betas"] = (0.1, 0.2)


def freeze(lib, o, params):
    params[0].requires_grad_(False)


EDITS = [
    clear, replace, delete, pop, restart_count, zero_count_in_place, add_to_count, new_average, average_in_place,
    new_entry, load, new_groups, fewer_groups, new_params, rates, freeze,
]  # fmt: skip


@MODES
@pytest.mark.parametrize("edit", EDITS)
def test_the_next_step_sees_what_was_changed(oracle, edit, compiled):
    def run(lib):
        params = two(lib)
        optimizer = lib.optim.Adam(params, lr=0.1)
        step = stepper(lib, optimizer, params, compiled)
        for value in (1.0, 2.0, 1.0):
            step(value)
        edit(lib, optimizer, params)
        for value in (-1.0, -3.0, 0.5):
            step(value)
            yield flat(params)

    for ours, theirs in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@MODES
def test_momentum_that_is_switched_on_later_begins_with_the_gradient(oracle, compiled):
    def run(lib):
        params = two(lib)
        optimizer = lib.optim.SGD(params, lr=0.1, dampening=0.5)
        step = stepper(lib, optimizer, params, compiled)
        for momentum in (0, 0, 0.9, 0.9, 0, 0.8):
            optimizer.param_groups[0]["momentum"] = momentum
            step(1.0 + momentum)
            yield flat(params)
        optimizer.state[params[0]]["momentum_buffer"] = None
        optimizer.state[params[1]] = {"momentum_buffer": lib.full((1, 1), 4.0, dtype=lib.float64)}
        step(2.0)
        yield flat(params)

    for ours, theirs in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@MODES
def test_a_rate_in_a_tensor_is_read_at_each_step(compiled):
    params, same = two(rv), two(rv)
    rate = rv.tensor(0.1, dtype=rv.float64)
    optimizer, other = optim.Adam(params, lr=rate), optim.Adam(same, lr=0.1)
    schedule, its = (optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (optimizer, other))
    step, step_other = stepper(rv, optimizer, params, compiled), stepper(rv, other, same, False)
    for t in range(6):
        if t == 3:
            rate.mul_(3.0)
            other.param_groups[0]["lr"] *= 3
        if t == 4:
            optimizer.param_groups[0]["lr"] = 0.01
            other.param_groups[0]["lr"] = 0.01
        if t == 5:
            optimizer.param_groups[0]["lr"] = rv.tensor(0.25)
            other.param_groups[0]["lr"] = 0.25
        step(1.0)
        step_other(1.0)
        for p, q in zip(params, same, strict=True):
            assert p.tolist() == q.tolist(), t
        schedule.step()
        its.step()
        assert schedule.get_last_lr() == its.get_last_lr()


def test_a_compiled_step_sees_gradients_that_are_replaced_or_taken_away():
    w, v = two(rv)
    optimizer = optim.SGD([w, v], lr=1.0)
    step = rv.compile(optimizer.step)
    for gradients in ((1.0, 2.0), (3.0, None), (None, None), (None, 5.0), (7.0, 7.0)):
        before = [w.tolist()[0], v.item()]
        for p, g in zip((w, v), gradients, strict=True):
            p.grad = None if g is None else rv.full(p.shape, g, dtype=p.dtype)
        step()
        assert [before[0] - w.tolist()[0], before[1] - v.item()] == [g or 0.0 for g in gradients]


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "ASGD"])
def test_copies_of_loaded_states_count_on(twin_of, name):
    options = {"momentum": 0.9} if name == "SGD" else {}
    params = two(rv)
    first = getattr(optim, name)(params, **options)
    stepper(rv, first, params, False)(1.0)
    second = getattr(optim, name)(params, **options)
    second.load_state_dict(first.state_dict())
    twins, twin = twin_of((params, second))
    for _ in range(2):
        stepper(rv, twin, twins, False)(1.0)
        stepper(rv, second, params, False)(1.0)
    assert twin.state_dict()["state"][0]["step"].item() == 3
    assert second.state_dict()["state"][1]["step"].item() == 3
    assert first.state_dict()["state"][0]["step"].item() == 1
    for p, q in zip(params, twins, strict=True):
        assert p.tolist() == q.tolist()


def test_copies_with_schedules_and_hooks():
    params = two(rv)
    optimizer = optim.Adam(params)
    optimizer.register_step_post_hook(lambda *_: None)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    stepper(rv, optimizer, params, True)(1.0)
    twins, twin, its = copy.deepcopy((params, optimizer, schedule))
    assert its.optimizer is twin and twin.param_groups[0]["params"][0] is twins[0]
    its.step()
    assert twin.param_groups[0]["lr"] == 0.5e-3 and optimizer.param_groups[0]["lr"] == 1e-3


def test_two_parameters_over_one_memory_are_both_updated():
    w = rv.tensor([1.0, 2.0], requires_grad=True)
    v = w.detach().requires_grad_()
    optimizer = optim.SGD([w, v], lr=1.0)
    w.grad, v.grad = rv.tensor([1.0, 1.0]), rv.tensor([10.0, 10.0])
    optimizer.step()
    assert w.tolist() == v.tolist() == [-10.0, -9.0]


def test_a_state_that_does_not_fit_is_named():
    w = rv.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([w])
    w.sum().backward()
    optimizer.state[w]["exp_avg"] = rv.zeros(3)
    with pytest.raises(
        rv.ShapeError, match=r"Adam.step: params\[0\], state 'exp_avg' has shape \(3,\), must have \(2,\)"
    ):
        optimizer.step()


def test_groups_take_further_keys():
    w, v = two(rv)
    optimizer = optim.SGD([{"params": w, "name": "slow", "lr_mult": 0.1}, {"params": [v], "lr": 0.5}], lr=1.0)
    assert [g.get("name") for g in optimizer.param_groups] == ["slow", None]
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_mult", 1.0)
    stepper(rv, optimizer, [w, v], True)(1.0)
    assert w.tolist() == [0.9, 1.9] and v.item() == 2.0
    assert optimizer.state_dict()["param_groups"][0]["name"] == "slow"
    with pytest.raises(TypeError, match="'learning_rate' of a group; it is called 'lr'"):
        optim.SGD([{"params": w, "learning_rate": 0.1}])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lr": None}, "SGD: lr=None must be a number"),
        ({"lr": "0.1"}, "SGD: lr='0.1' must be a number"),
        ({"lr": -1.0}, "SGD: lr=-1.0 must be >= 0"),
        ({"lr": [0.1]}, "SGD: lr=(.*) must be a number"),
        ({"momentum": np.array(0.5)}, "momentum is an ndarray"),
        ({"nesterov": True}, "nesterov=True needs momentum"),
    ],
)
def test_wrong_options_are_refused_when_made_loaded_or_used(options, message):
    w = rv.tensor([1.0], requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=message):
        optim.SGD([w], **options)
    optimizer = optim.SGD([w], lr=0.5)
    saved = optimizer.state_dict()
    saved["param_groups"][0].update(options)
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    if isinstance(options.get("lr", 1.0), (str, list, type(None))):
        optimizer.param_groups[0].update(options)
        w.grad = rv.ones(1)
        with pytest.raises(TypeError, match=message):
            optimizer.step()


def test_betas_and_names_of_other_libraries():
    w = rv.tensor([1.0], requires_grad=True)
    for betas in (0.9, (0.9,), ("a", 0.9), None):
        with pytest.raises(TypeError, match="Adam: betas"):
            optim.Adam([w], betas=betas)
    saved = optim.Adam([w]).state_dict()
    saved["param_groups"][0]["betas"] = 0.9
    with pytest.raises(TypeError, match="betas=0.9 must be a tuple of two numbers"):
        optim.Adam([w]).load_state_dict(saved)
    with pytest.raises(TypeError, match="unexpected argument 'learning_rate'; it is called 'lr' here"):
        optim.Adam([w], learning_rate=0.1)


def test_hooks_run_around_each_step():
    w = rv.tensor([1.0], requires_grad=True)
    optimizer, log = optim.SGD([w], lr=1.0), []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: log.append(("before", o is optimizer, args)))
    optimizer.register_step_post_hook(lambda o, args, kwargs: log.append(("after", o is optimizer, args)))
    optimizer.step()
    before.remove()
    optimizer.step(lambda: 1.0)
    assert [entry[:2] for entry in log] == [("before", True), ("after", True), ("after", True)]
    assert log[0][2] == () and len(log[2][2]) == 1
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((), {"closure": lambda: 5.0}))
    assert optimizer.step() == 5.0


def test_compiled_steps_see_hooks_that_come_and_go():
    w = rv.tensor([1.0, 1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)

    @rv.compile
    def step():
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    def zero_first(*_):
        with rv.no_grad():
            w[:1].zero_()

    step()
    assert w.tolist() == [0.5, 0.5]
    hook = optimizer.register_step_post_hook(zero_first)
    step()
    assert w.tolist() == [0.0, 0.0]
    step()
    assert w.tolist() == [0.0, -0.5]
    hook.remove()
    step()
    assert w.tolist() == [-0.5, -1.0]


class Heavy(optim.Optimizer):
    """Momentum, as users write it."""

    def __init__(self, params, lr=0.1, momentum=0.9, what="all"):
        super().__init__(params, dict(lr=lr, momentum=momentum, what=what))

    @rv.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["buffer"] = rv.zeros_like(p)
                state["buffer"].mul_(group["momentum"]).add_(p.grad)
                state["count"] = state.get("count", rv.tensor(0)) + 1
                p.data.add_(state["buffer"], alpha=-group["lr"])


@MODES
def test_an_optimizer_of_ones_own(compiled):
    params, same = two(rv), two(rv)
    own, ours = Heavy(params), optim.SGD(same, lr=0.1, momentum=0.9)
    stepper(rv, own, params, False)(1.0)
    stepper(rv, ours, same, False)(1.0)
    schedule, other = (optim.lr_scheduler.ExponentialLR(o, 0.5) for o in (own, ours))
    steps = stepper(rv, own, params, compiled), stepper(rv, ours, same, False)
    for t in range(5):
        if t == 3:
            own.state[params[0]]["buffer"].zero_()
            ours.state[same[0]]["momentum_buffer"].zero_()
        for step in steps:
            step(2.0)
        schedule.step()
        other.step()
        for p, q in zip(params, same, strict=True):
            np.testing.assert_allclose(p.tolist(), q.tolist(), rtol=1e-14)
    assert own.state[params[0]]["count"].item() == 6
    fresh = Heavy(two(rv))
    fresh.load_state_dict(own.state_dict())
    assert fresh.state_dict()["state"][1]["buffer"].tolist() == own.state[params[1]]["buffer"].tolist()
    assert fresh.param_groups[0]["what"] == "all"


def test_states_that_would_begin_inside_a_compiled_function_are_refused():
    params = two(rv)
    with pytest.raises(rv.TraceError, match="state 'buffer' of an optimizer would begin inside a compiled function"):
        stepper(rv, Heavy(params), params, True)(1.0)


def test_a_trainer_takes_an_optimizer_of_ones_own():
    class Counting(Heavy):
        @rv.no_grad()
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                state = self.state[p]
                if not state:
                    state["first"] = rv.tensor(1.0)
                    state["sum"] = rv.zeros_like(p)
                    state["steps"] = 0
                state["steps"] += 1
                state["sum"] += p.grad
                p.sub_(self.param_groups[0]["lr"] * state["sum"])

    model = rv.nn.Linear(2, 1)
    optimizer = Counting(model.parameters(), lr=1e-3)
    with pytest.warns(UserWarning, match="training runs uncompiled"):
        rv.train.Trainer(model, "mse", optimizer).fit(np.ones((8, 2), "f"), np.ones((8, 1), "f"), epochs=3, verbose=0)
    assert optimizer.state[model.weight]["steps"] == 3


def test_an_optimizer_without_step_says_so():
    class Lazy(optim.Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Lazy must define step"):
        Lazy([rv.tensor([1.0], requires_grad=True)], {}).step()


def test_a_subclass_that_changes_the_gradients_first():
    class Clipped(optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad = p.grad.clamp(max=group["limit"])
            return super().step(closure)

    params = two(rv)
    optimizer = Clipped([{"params": params, "limit": 1.5}], lr=1.0)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step = stepper(rv, optimizer, params, True)
    step(1.0)
    assert params[1].item() == 1.5 and len(calls) == 1
    optimizer.param_groups[0]["limit"] = 0.5
    step(1.0)
    assert params[1].item() == 1.0 and params[0].tolist() == [-0.5, 0.5]
