"""L-BFGS against PyTorch's steps, averaged models, and clipping under all its names."""

import copy
import math

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, optim
from ranvier.optim import swa_utils

# options -> PyTorch's parameters on Rosenbrock's function after three steps, and how often it called the closure
STEPS = {
    "fixed": (dict(lr=1e-3), (-1.0772374347780795, 1.5713146286033077), 60),
    "search": (dict(line_search_fn="strong_wolfe"), (1.0000004898883617, 1.00000095564387), 47),
    "short": (
        dict(line_search_fn="strong_wolfe", max_iter=7, history_size=2),
        (0.05095625188892515, -0.02419064204645136),
        25,
    ),
    "few": (dict(line_search_fn="strong_wolfe", max_eval=9), (0.33627813522976213, 0.0917982743414597), 27),
}


def rosenbrock(start=(-1.0, 1.5), to_none=True, **options):
    w = rv.tensor(start, dtype=rv.float64, requires_grad=True)
    optimizer = optim.LBFGS([w], **options)

    def closure():
        optimizer.zero_grad(set_to_none=to_none)
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        return loss

    return w, optimizer, closure


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("name", STEPS)
def test_steps_are_pytorchs(name, to_none):
    options, expected, calls = STEPS[name]
    w, optimizer, closure = rosenbrock(to_none=to_none, **options)
    assert optimizer.step(closure).item() == 29.0
    for _ in range(2):
        optimizer.step(closure)
    np.testing.assert_allclose(w.tolist(), expected, rtol=1e-7)
    assert optimizer.state[w]["func_evals"] == calls


@pytest.mark.parametrize("name", ["fixed", "short"])
def test_it_goes_on_from_a_state(name):
    options = STEPS[name][0]
    w, optimizer, closure = rosenbrock(**options)
    optimizer.step(closure)
    v, other, its = rosenbrock(w.tolist(), **options)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(2):
        optimizer.step(closure)
        other.step(its)
    assert v.tolist() == w.tolist()
    optimizer.state.clear()  # begins anew
    u, fresh, this = rosenbrock(w.tolist(), **options)
    optimizer.step(closure)
    fresh.step(this)
    assert u.tolist() == w.tolist()


@pytest.mark.parametrize("compiled", [False, True])
def test_several_parameters_of_a_layer(compiled):
    rv.manual_seed(0)
    x = rv.randn(50, 3)
    y = x @ rv.tensor([[1.0], [-2.0], [3.0]]) + 0.5
    model = nn.Linear(3, 1)
    unused = rv.ones(2, requires_grad=True)
    optimizer = optim.LBFGS([*model.parameters(), unused], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        return loss

    run = rv.compile(closure) if compiled else closure
    for _ in range(3):
        optimizer.step(run)
    np.testing.assert_allclose(model.weight.tolist(), [[1.0, -2.0, 3.0]], atol=1e-4)
    assert closure().item() < 1e-8 and unused.tolist() == [1.0, 1.0]


def test_wrong_uses_of_lbfgs_are_named():
    w = rv.ones(2, requires_grad=True)
    for options, message in (
        (dict(line_search_fn="armijo"), "line_search_fn='armijo' must be None or 'strong_wolfe'"),
        (dict(lr=-1), "lr=-1 must be a number >= 0"),
        (dict(history_size="9"), "history_size='9' must be"),
    ):
        with pytest.raises(ValueError, match=message):
            optim.LBFGS([w], **options)
    with pytest.raises(ValueError, match="LBFGS: takes one group"):
        optim.LBFGS([{"params": [w]}, {"params": [rv.ones(1, requires_grad=True)]}])
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS([w]).step()
    with pytest.raises(rv.TraceError, match="LBFGS.step inside a compiled function"):
        rv.compile(optim.LBFGS([w]).step)(lambda: None)


# ---------------------------------------------------------------- averages


def test_a_mean_and_a_moving_average_of_parameters():
    model = nn.Linear(2, 1)
    mean = swa_utils.AveragedModel(model)
    moving = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    own = swa_utils.AveragedModel(model, avg_fn=lambda average, value, count: value * 10)
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        for averaged in (mean, moving, own):
            averaged.update_parameters(model)
    assert mean.module.weight.tolist() == [[3.0, 3.0]] and mean.n_averaged.item() == 3
    np.testing.assert_allclose(moving.module.weight.tolist(), [[0.9 * 1.1 + 0.6] * 2], rtol=1e-6)
    assert own.module.weight.tolist() == [[60.0, 60.0]]
    x = rv.ones(1, 2)
    np.testing.assert_allclose(mean(x).item(), 6.0 + model.bias.item(), rtol=1e-6)
    assert "module.weight" in mean.state_dict() and "n_averaged" in mean.state_dict()
    with pytest.raises(rv.ShapeError, match="other parameters"):
        mean.update_parameters(nn.Linear(3, 1))


class Centered(nn.Module):
    """Running statistics, as batch normalisation keeps them."""

    def __init__(self):
        super().__init__()
        self.momentum = 0.1
        self.register_buffer("running_mean", rv.zeros(2))
        self.reset_running_stats()

    def reset_running_stats(self):
        self.running_mean.zero_()
        self.seen = 0

    def forward(self, x):
        if self.training:
            self.seen += 1
            share = 1 / self.seen if self.momentum is None else self.momentum
            self.running_mean.mul_(1 - share).add_(x.mean(0), alpha=share)
        return x - self.running_mean


def test_running_statistics_are_taken_anew_and_copied():
    model = nn.Sequential(Centered()).eval()
    model[0].running_mean.fill_(50.0)
    swa_utils.update_bn([(rv.full((4, 2), v), None) for v in (1.0, 3.0)], model)
    assert model[0].running_mean.tolist() == [2.0, 2.0]
    assert model[0].momentum == 0.1 and not model.training
    averaged = swa_utils.AveragedModel(model)
    model[0].running_mean.fill_(4.0)
    averaged.update_parameters(model)
    assert averaged.module[0].running_mean.tolist() == [4.0, 4.0]
    both = swa_utils.AveragedModel(model, use_buffers=True)
    for value in (4.0, 8.0):
        model[0].running_mean.fill_(value)
        both.update_parameters(model)
    assert both.module[0].running_mean.tolist() == [6.0, 6.0]


@pytest.mark.parametrize(
    "options, rates",
    [
        (dict(anneal_epochs=4, anneal_strategy="linear"), [1.0, 0.775, 0.55, 0.325, 0.1, 0.1]),
        (dict(anneal_epochs=2), [1.0, 0.55, 0.1, 0.1]),
        (dict(anneal_epochs=0), [0.1, 0.1, 0.1]),
    ],
)
def test_the_rate_of_averaging(options, rates):
    optimizer = optim.SGD([rv.ones(1, requires_grad=True)], lr=1.0)
    schedule = swa_utils.SWALR(optimizer, 0.1, **options)
    seen = []
    for _ in rates:
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(seen, rates, rtol=1e-12)


# ---------------------------------------------------------------- clipping


def gradients(*values):
    params = [rv.zeros(len(v), dtype=d, requires_grad=True) for v, d in values]
    for p, (v, d) in zip(params, values, strict=True):
        p.grad = rv.tensor(v, dtype=d)
    return params


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_of_several_dtypes_have_one_norm(compiled):
    params = gradients(([3.0], rv.float32), ([0.0, 4.0], rv.float64), ([12.0], rv.float32))

    def clip(w):
        return nn.utils.clip_grad_norm_(params, 6.5) + 0 * w.sum()

    run = rv.compile(clip) if compiled else clip
    assert run(rv.zeros(1)).item() == 13.0
    for p, g in zip(params, ([1.5], [0.0, 2.0], [6.0]), strict=True):
        np.testing.assert_allclose(p.grad.tolist(), g, rtol=1e-6)


def test_clipping_in_two_steps_and_under_old_names():
    params = gradients(([3.0, 4.0], rv.float64))
    total = nn.utils.get_total_norm([p.grad for p in params], foreach=True)
    assert total.item() == 5.0 and nn.utils.get_total_norm(params[0].grad, math.inf).item() == 4.0
    assert nn.utils.get_total_norm([]).item() == 0.0
    nn.utils.clip_grads_with_norm_(params, 1.0, total)
    np.testing.assert_allclose(params[0].grad.tolist(), [0.6, 0.8], rtol=1e-6)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm(params, 10.0).item() == pytest.approx(1.0, rel=1e-6)
    with pytest.raises(rv.GradError, match="norm is nan"):
        nn.utils.get_total_norm([rv.tensor([math.nan])], error_if_nonfinite=True)
    generator = (p for p in params)
    nn.utils.clip_grad_norm_(generator, 0.5, foreach=False)
    np.testing.assert_allclose(params[0].grad.tolist(), [0.3, 0.4], rtol=1e-5)
    with pytest.warns(UserWarning, match="nothing is clipped"):
        nn.utils.clip_grad_norm_(generator, 0.5)


def test_old_names_of_initialisers():
    weight = rv.empty(4, 4)
    for name in ("normal", "uniform", "constant", "eye", "orthogonal", "xavier_uniform", "kaiming_normal"):
        extra = (2.0,) if name == "constant" else ()
        with pytest.warns(FutureWarning, match=f"nn.init.{name} is now called nn.init.{name}_"):
            assert getattr(nn.init, name)(weight, *extra) is weight
    assert nn.init.constant.__doc__ == nn.init.constant_.__doc__
