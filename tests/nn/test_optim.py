"""Every optimizer against PyTorch's: trajectories, states, groups; eager and compiled."""

import copy
import pickle

import numpy as np
import pytest
import ranvier as rv
from ranvier import optim

DECAY = dict(lr=0.1, weight_decay=0.1)
# name -> several sets of options
CASES = {
    "SGD": [
        dict(lr=0.1), dict(lr=0.1, momentum=0.9), dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        dict(lr=0.05, momentum=0.8, dampening=0.3, maximize=True),
    ],
    "Adam": [
        dict(), dict(lr=0.1, weight_decay=0.1), dict(lr=0.05, amsgrad=True, betas=(0.5, 0.7), eps=1e-3),
        dict(lr=0.05, decoupled_weight_decay=True, weight_decay=0.2, maximize=True),
    ],
    "AdamW": [dict(), dict(lr=0.1, weight_decay=0.3, amsgrad=True)],
    "Adamax": [dict(), dict(lr=0.1, weight_decay=0.1, betas=(0.8, 0.9)), dict(lr=0.1, maximize=True)],
    "NAdam": [dict(), DECAY, dict(**DECAY, decoupled_weight_decay=True)],
    "RAdam": [dict(), DECAY, dict(**DECAY, decoupled_weight_decay=True)],
    "RMSprop": [
        dict(), dict(lr=0.02, momentum=0.9), dict(lr=0.02, centered=True, weight_decay=0.1),
        dict(lr=0.02, centered=True, momentum=0.7, alpha=0.8, maximize=True),
    ],
    "Adagrad": [dict(), dict(lr=0.1, lr_decay=0.05, weight_decay=0.1, initial_accumulator_value=0.5)],
    "Adadelta": [dict(), dict(lr=0.5, rho=0.8, weight_decay=0.1, maximize=True)],
    "ASGD": [dict(), dict(lr=0.1, lambd=0.01, alpha=0.5, t0=3, weight_decay=0.1)],
    "Rprop": [dict(), dict(lr=0.1, etas=(0.4, 1.3), step_sizes=(1e-3, 0.2)), dict(maximize=True)],
}  # fmt: skip
PAIRS = [(name, options) for name, sets in CASES.items() for options in sets]
SHAPES = [(5, 3), (7,), (), (2, 2, 2), (40, 9)]


def problem(dtype, seed=0):
    """Parameters, and a target for each: the loss has all signs of gradients."""
    random = np.random.default_rng(seed)
    start, targets = ([random.normal(size=s).astype(dtype) for s in SHAPES] for _ in range(2))
    return start, targets


def leaves(lib, arrays):
    return [lib.tensor(a, requires_grad=True) for a in arrays]


def digest(params):
    """The elements of small tensors, projections of large ones: a row of numbers."""
    random, row = np.random.default_rng(1), []
    for p in params:
        p = np.asarray(p.detach() if hasattr(p, "detach") else p).ravel()
        row.append(p if p.size <= 4 else random.standard_normal((4, p.size)) @ p / p.size)
    return np.concatenate(row)


def loss_of(params, targets, lib):
    total = 0
    for p, t in zip(params, targets, strict=True):
        gap = p - lib.tensor(t)
        total = total + (gap * gap * gap * gap).sum() + 0.3 * (gap * gap).sum()
    return total


def trajectory(lib, name, options, dtype, compiled=False):
    """Parameters after each of 20 steps, and the states in the order of their names."""
    start, targets = problem(dtype)
    params = leaves(lib, start)
    optimizer = getattr(lib.optim, name)(params, **options)
    sign = -0.05 if options.get("maximize") else 0.05

    def step():
        optimizer.zero_grad()
        (loss_of(params, targets, lib) * sign).backward()
        optimizer.step()

    run = lib.compile(step) if compiled else step
    rows = []
    for _ in range(20):
        run()
        rows.append(digest(params))
    names = sorted(optimizer.state[params[0]].keys() - ({"step"} if name == "SGD" else set()))
    return [np.array(rows), *(digest([optimizer.state[p][n] for p in params]) for n in names)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, options", PAIRS)
def test_trajectory_is_pytorchs(oracle, name, options, dtype, compiled):
    key = f"optim/{name}/{CASES[name].index(options)}/{dtype}"
    expected, *expected_states = oracle(lambda torch: trajectory(torch, name, options, dtype), key)
    ours, *states = trajectory(rv, name, options, dtype, compiled)
    # float32 sums differ in their last bits, and signs of gradients near 0 may then differ in Rprop
    rtol = 1e-9 if dtype == "float64" else 1e-4
    for t, (a, b) in enumerate(zip(ours, expected, strict=True)):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=f"step {t}")
    for a, b in zip(states, expected_states, strict=True):
        np.testing.assert_allclose(a, b, rtol=max(rtol, 1e-6), atol=rtol)


@pytest.mark.parametrize("name", CASES)
def test_state_dict_goes_both_ways_with_pytorch(torch, double_scalars, name):
    options = CASES[name][-1]
    start, targets = problem("float64")
    ours, theirs = leaves(rv, start), leaves(torch, start)
    mine, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for _ in range(3):
        other.zero_grad()
        loss_of(theirs, targets, torch).backward()
        other.step()
    mine.load_state_dict(other.state_dict())
    with rv.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q.detach().numpy())
    saved = mine.state_dict()
    assert saved["param_groups"][0]["params"] == list(range(len(SHAPES)))
    assert saved["param_groups"][0].keys() >= {k for k in options} | {"lr"}
    resumed = [rv.tensor(p.detach().numpy(), requires_grad=True) for p in ours]
    third = getattr(optim, name)(resumed)
    third.load_state_dict(saved)
    for _ in range(3):
        for optimizer, params, lib in ((mine, ours, rv), (other, theirs, torch), (third, resumed, rv)):
            optimizer.zero_grad()
            loss_of(params, targets, lib).backward()
            optimizer.step()
    for p, q, r in zip(ours, theirs, resumed, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(p.detach().numpy(), r.detach().numpy())


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_gradient_keep_their_own_time(oracle, name):
    """Tensors that get gradients at different steps count their own steps."""
    start, targets = problem("float64")

    def run(lib):
        params = leaves(lib, start)
        optimizer = getattr(lib.optim, name)(params)
        for t in range(12):
            optimizer.zero_grad()
            live = [i for i in range(len(SHAPES)) if (t + i) % 3 != 0]
            loss_of([params[i] for i in live], [targets[i] for i in live], lib).backward()
            optimizer.step()
        return [digest(params)]

    np.testing.assert_allclose(run(rv)[0], oracle(run)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_groups_dtypes_and_changed_rates(oracle, compiled):
    start, targets = problem("float64")
    start = [a.astype("float32" if i % 2 else "float64") for i, a in enumerate(start)]
    targets = [t.astype(a.dtype) for t, a in zip(targets, start, strict=True)]
    traces = []

    def run(lib):
        params = leaves(lib, start)
        optimizer = lib.optim.Adam(
            [{"params": params[:2]}, {"params": params[2:4], "lr": 0.05, "betas": (0.8, 0.9)}], lr=0.01
        )

        def step():
            traces.append(lib)
            optimizer.zero_grad()
            for p, t in zip(params[:used], targets, strict=False):
                loss_of([p], [t], lib).backward()
            optimizer.step()

        once = rv.compile(step) if compiled and lib is rv else step
        used = 4
        for t in range(12):
            if t == 4:
                used = 5
                optimizer.add_param_group({"params": params[4:], "weight_decay": 0.1})
            optimizer.param_groups[0]["lr"] = 0.01 * (t + 1)
            optimizer.param_groups[1]["betas"] = (0.5 + t / 100, 0.9)
            if t == 8:
                optimizer.param_groups[1]["maximize"] = True
            once()
            yield digest(params)

    for ours, theirs in zip(run(rv), oracle(run, "optim/groups"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    if compiled:
        assert traces.count(rv) == 3  # the first, the new group, the flag; never for a number


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "RMSprop", "Rprop"])
def test_eager_and_compiled_steps_take_turns(oracle, name):
    """Also with parameters that get no gradient, and states that are loaded, between compiled steps."""
    start, targets = problem("float64")
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    everything = list(range(len(SHAPES)))

    def run(lib):
        params = leaves(lib, start)
        optimizer = getattr(lib.optim, name)(params, lr=0.01, **options)

        def step(live):
            optimizer.zero_grad()
            loss_of([params[i] for i in live], [targets[i] for i in live], lib).backward()
            optimizer.step()

        compiled = rv.compile(lambda: step(everything)) if lib is rv else lambda: step(everything)
        for what in "ccecpccplcclpec":
            if what == "l":
                optimizer.load_state_dict(optimizer.state_dict())
            if what == "c":
                compiled()
            else:
                step([i for i in everything if what != "p" or i % 2])
            yield digest(params)

    for t, (ours, theirs) in enumerate(zip(run(rv), oracle(run), strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=f"step {t}")


def test_closure_and_zero_grad():
    w = rv.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad(set_to_none=False)
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert w.item() == pytest.approx(2.4)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.item() == 0.0
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.item() == pytest.approx(2.4)


def test_replaced_data_and_backends():
    w = rv.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    for name in ("numpy", None, "numpy"):
        with rv.backend(name) if name else rv.enable_grad():
            optimizer.zero_grad()
            w.sum().backward()
            optimizer.step()
    assert w.tolist() == [-2.0, -1.0]
    w.data = rv.tensor([5.0, 5.0])
    optimizer.step()
    assert w.tolist() == [4.0, 4.0]


def test_an_update_marks_saved_values_as_changed():
    w = rv.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(rv.GradError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda w: optim.Adam([]), "Adam: params is empty"),
        (lambda w: optim.Adam(w), "one Tensor"),
        (lambda w: optim.Adam([w * 2]), "no leaf"),
        (lambda w: optim.Adam([w, w]), "there already"),
        (lambda w: optim.Adam([np.ones(2)]), "params\\[0\\] is a ndarray"),
        (lambda w: optim.Adam([rv.tensor([1])]), "dtype int64"),
        (lambda w: optim.Adam({w}), "set"),
        (lambda w: optim.Adam([w], lr=-1), "Adam: lr=-1 must be >= 0"),
        (lambda w: optim.Adam([w], lr=float("nan")), "Adam: lr=nan must be >= 0"),
        (lambda w: optim.Adam([w], betas=(0.9, 1.0)), "betas\\[1\\]=1.0 must be in \\[0, 1\\)"),
        (lambda w: optim.Adam([w], eps=-1e-8), "eps"),
        (lambda w: optim.SGD([w], nesterov=True), "momentum > 0"),
        (lambda w: optim.Adadelta([w], rho=1.5), "rho=1.5"),
        (lambda w: optim.Rprop([w], etas=(0.5, 0.9)), "etas"),
        (lambda w: optim.RMSprop([w], momentum=-1), "momentum"),
        (lambda w: optim.Adam([{"lr": 1}]), "params"),
        (lambda w: optim.SGD([w], differentiable=True), "differentiable"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(rv.tensor([1.0], requires_grad=True))


def test_a_state_that_does_not_fit_changes_nothing():
    w, v = rv.tensor([1.0], requires_grad=True), rv.tensor([1.0, 2.0], requires_grad=True)
    small, large = optim.Adam([w], lr=0.5), optim.Adam([v])
    w.sum().backward()
    small.step()
    with pytest.raises(ValueError, match="shape \\(1,\\)"):
        large.load_state_dict(small.state_dict())
    assert large.param_groups[0]["lr"] == 1e-3 and not large.state
    with pytest.raises(ValueError, match="groups of"):
        optim.Adam([{"params": [w]}, {"params": [v]}]).load_state_dict(small.state_dict())


def test_named_parameters_and_repr():
    w = rv.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([("layer.weight", w)])
    assert optimizer.param_groups[0]["param_names"] == ["layer.weight"]
    assert "lr=0.001" in repr(optimizer)


def test_penalties():
    w = rv.tensor([1.0, -2.0], requires_grad=True)
    (optim.l1_penalty([w]) + optim.l2_penalty([("w", w)])).backward()
    assert w.grad.tolist() == [3.0, -5.0]
    with pytest.raises(ValueError, match="empty"):
        optim.l1_penalty([])


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_an_optimizer_go_on_where_it_is(twin_of):
    model = rv.nn.Linear(2, 2)
    optimizer = rv.optim.Adam(model.parameters(), lr=0.1)

    def step(model, optimizer):
        optimizer.zero_grad()
        (model(rv.ones(3, 2)) ** 2).sum().backward()
        optimizer.step()

    step(model, optimizer)
    twins = twin_of((model, optimizer))
    step(model, optimizer)
    step(*twins)
    for p, q in zip(model.parameters(), twins[0].parameters(), strict=True):
        assert p.tolist() == q.tolist()
