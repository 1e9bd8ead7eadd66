"""Every schedule against PyTorch's, over hundreds of steps."""

import math

import numpy as np
import pytest
import ranvier as rv
from ranvier.optim import lr_scheduler as S

pytestmark = pytest.mark.filterwarnings("ignore:.*before optimizer.step", "ignore:Detected call")


def optimizer_of(lib=rv, cls="SGD", **options):
    """An optimizer of two groups."""
    groups = [{"params": [lib.tensor([1.0], requires_grad=True)], "lr": lr} for lr in (0.5, 0.05)]
    return getattr(lib.optim, cls)(groups, lr=0.5, **options)


def rates(optimizer):
    return [(g["lr"], g.get("momentum", 0.0), g["betas"][0] if "betas" in g else 0.0) for g in optimizer.param_groups]


CASES = {
    "lambda": (lambda m, o: m.LambdaLR(o, [lambda t: 0.95**t, lambda t: 1 / (t + 1)]), {}),
    "multiplicative": (lambda m, o: m.MultiplicativeLR(o, lambda t: 0.99 + 0.005 * (t % 3)), {}),
    "step": (lambda m, o: m.StepLR(o, 30, gamma=0.3), {}),
    "multistep": (lambda m, o: m.MultiStepLR(o, [10, 10, 80, 200], gamma=0.5), {}),
    "constant": (lambda m, o: m.ConstantLR(o, factor=0.25, total_iters=7), {}),
    "linear": (lambda m, o: m.LinearLR(o, 0.1, 0.8, total_iters=50), {}),
    "linear to zero": (lambda m, o: m.LinearLR(o, 1.0, 0.0, total_iters=50), {}),
    "exponential": (lambda m, o: m.ExponentialLR(o, 0.97), {}),
    "polynomial": (lambda m, o: m.PolynomialLR(o, total_iters=120, power=2.0), {}),
    "cosine": (lambda m, o: m.CosineAnnealingLR(o, T_max=40, eta_min=0.001), {}),
    "cosine short": (lambda m, o: m.CosineAnnealingLR(o, T_max=1), {}),
    "restarts": (lambda m, o: m.CosineAnnealingWarmRestarts(o, 10, 1, 0.001), {}),
    "restarts growing": (lambda m, o: m.CosineAnnealingWarmRestarts(o, 5, 2), {}),
    "onecycle": (lambda m, o: m.OneCycleLR(o, [0.3, 0.7], total_steps=310), {"momentum": 0.9}),
    "onecycle adam": (lambda m, o: m.OneCycleLR(o, 0.3, epochs=31, steps_per_epoch=10), {"cls": "Adam"}),
    "onecycle linear": (
        lambda m, o: m.OneCycleLR(o, 0.3, total_steps=310, anneal_strategy="linear", three_phase=True),
        {"momentum": 0.9},
    ),
    "cyclic": (lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=20), {"momentum": 0.9}),
    "cyclic 2": (lambda m, o: m.CyclicLR(o, 0.01, 0.1, 20, 35, mode="triangular2"), {"cls": "Adam"}),
    "cyclic exp": (
        lambda m, o: m.CyclicLR(o, 0.01, [0.1, 0.2], 20, mode="exp_range", gamma=0.99, cycle_momentum=False),
        {},
    ),
    "cyclic fn": (
        lambda m, o: m.CyclicLR(o, 0.01, 0.1, 20, scale_fn=lambda x: 1 / (5 * x), cycle_momentum=False), {},
    ),
    "chained": (lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 9), m.ExponentialLR(o, 0.9)]), {}),
    "chained cosine": (
        lambda m, o: m.ChainedScheduler([m.LinearLR(o, 0.1, 1.0, 9), m.CosineAnnealingLR(o, 50)]), {},
    ),
    "sequential": (
        lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 10), m.CosineAnnealingLR(o, 90)], [10]), {},
    ),
    "sequential 3": (
        lambda m, o: m.SequentialLR(
            o, [m.ConstantLR(o, 0.1, 20), m.ExponentialLR(o, 0.9), m.StepLR(o, 20, 0.5)], [20, 60]
        ), {},
    ),
    "sequential restarts": (
        lambda m, o: m.SequentialLR(
            o, [m.LinearLR(o, 0.2, 1.0, 5), m.CosineAnnealingWarmRestarts(o, 7, 2)], [5]
        ),
        {},
    ),
    "sequential of chained": (
        lambda m, o: m.ChainedScheduler(
            [m.SequentialLR(o, [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.99)], [8]), m.StepLR(o, 40)]
        ), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_are_pytorchs(oracle, name):
    make, options = CASES[name]

    def run(lib):
        optimizer = optimizer_of(lib, **options)
        scheduler = make(lib.optim.lr_scheduler, optimizer)
        rows = []
        for _ in range(300):
            rows.append(rates(optimizer))
            if lib is rv:
                assert scheduler.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
            optimizer.step()
            scheduler.step()
        return [np.array(rows)]

    for t, (ours, theirs) in enumerate(zip(run(rv)[0], oracle(run)[0], strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15, err_msg=f"step {t}")


CLOSED_FORMS = {
    "step": lambda t: 0.5 * 0.3 ** (t // 30),
    "exponential": lambda t: 0.5 * 0.97**t,
    "polynomial": lambda t: 0.5 * (1 - min(t, 120) / 120) ** 2,
    "cosine": lambda t: 0.001 + (0.5 - 0.001) * (1 + math.cos(math.pi * t / 40)) / 2,
    "linear": lambda t: 0.5 * (0.1 + 0.7 * min(t, 50) / 50),
    "constant": lambda t: 0.5 * (0.25 if t < 7 else 1),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_values_follow_the_closed_form(name):
    ours = optimizer_of()
    scheduler = CASES[name][0](S, ours)
    for t in range(200):
        assert ours.param_groups[0]["lr"] == pytest.approx(CLOSED_FORMS[name](t), rel=1e-9, abs=1e-12), t
        scheduler.step()


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_is_pytorchs(oracle, mode, threshold_mode):
    options = dict(
        mode=mode,
        factor=0.5,
        patience=3,
        threshold=0.01,
        threshold_mode=threshold_mode,
        cooldown=2,
        min_lr=[0.01, 0.002],
    )

    def run(lib):
        optimizer = optimizer_of(lib)
        scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        random = np.random.default_rng(0)
        rows = []
        for t in range(200):
            scheduler.step(float(np.exp(-t / 40) + 0.1 * random.normal()))
            assert list(scheduler.get_last_lr()) == [g["lr"] for g in optimizer.param_groups]
            rows.append(rates(optimizer))
        return [np.array(rows)]

    (ours,), (theirs,) = run(rv), oracle(run)
    np.testing.assert_array_equal(ours, theirs)
    assert ours[-1, 0, 0] < 0.5


@pytest.mark.parametrize("epoch", [0, 0.25, 3.5, 9.99, 10, 17.25, 40])
@pytest.mark.parametrize("factor", [1, 2])
def test_restarts_take_fractions_of_epochs(oracle, epoch, factor):
    def run(lib):
        optimizer = optimizer_of(lib)
        lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, factor).step(epoch)
        return [np.array(rates(optimizer))]

    np.testing.assert_allclose(run(rv)[0], oracle(run)[0], rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("lambda", "multiplicative", "cyclic fn")])
def test_state_dict_goes_on_where_it_was(name):
    make, options = CASES[name]
    first = optimizer_of(**options)
    scheduler = make(S, first)
    for _ in range(37):
        scheduler.step()
    second = optimizer_of(**options)
    resumed = make(S, second)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    for _ in range(50):
        assert rates(first) == rates(second)
        scheduler.step()
        resumed.step()


@pytest.mark.parametrize("name", ["step", "linear", "exponential", "cosine", "polynomial"])
def test_resuming_by_last_epoch_is_pytorchs(oracle, name):
    make = {
        "step": lambda m, o: m.StepLR(o, 30, last_epoch=12),
        "linear": lambda m, o: m.LinearLR(o, 0.1, 0.8, 50, last_epoch=12),
        "exponential": lambda m, o: m.ExponentialLR(o, 0.97, last_epoch=12),
        "cosine": lambda m, o: m.CosineAnnealingLR(o, 40, 0.001, last_epoch=12),
        "polynomial": lambda m, o: m.PolynomialLR(o, 120, 2.0, last_epoch=12),
    }[name]

    def run(lib):
        optimizer = optimizer_of(lib)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        scheduler = make(lib.optim.lr_scheduler, optimizer)
        for _ in range(20):
            scheduler.step()
        return [np.array(rates(optimizer))]

    np.testing.assert_allclose(run(rv)[0], oracle(run)[0], rtol=1e-12)


def test_mistakes_are_named():
    ours, other = optimizer_of(), optimizer_of()
    with pytest.raises(TypeError, match="StepLR: optimizer=int must be an Optimizer"):
        S.StepLR(3, 1)
    with pytest.raises(KeyError, match="initial_lr"):
        S.StepLR(ours, 1, last_epoch=3)
    with pytest.raises(ValueError, match="ConstantLR: factor=0"):
        S.ConstantLR(ours, 0)
    with pytest.raises(ValueError, match="2 parameter groups"):
        S.OneCycleLR(ours, [0.1], total_steps=3, cycle_momentum=False)
    with pytest.raises(ValueError, match="total_steps, or epochs"):
        S.OneCycleLR(ours, 0.1)
    with pytest.raises(ValueError, match="needs a metric"):
        S.ChainedScheduler([S.ReduceLROnPlateau(ours)])
    with pytest.raises(ValueError, match="another optimizer"):
        S.ChainedScheduler([S.StepLR(ours, 1), S.StepLR(other, 1)])
    with pytest.raises(ValueError, match="1 milestones, not 2"):
        S.SequentialLR(ours, [S.StepLR(ours, 1), S.StepLR(ours, 1)], [1, 2])
    with pytest.raises(ValueError, match="cycle_momentum"):
        S.CyclicLR(optimizer_of(cls="Adagrad"), 0.1, 0.2)
    scheduler = S.OneCycleLR(ours, 0.1, total_steps=2, cycle_momentum=False)
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="past the end"):
        scheduler.step()


def test_a_skipped_first_rate_is_told():
    ours = optimizer_of()
    with pytest.warns(UserWarning, match="before optimizer.step"):
        S.StepLR(ours, 1).step()


# ---------------------------------------------------------------- jumps, resuming, schedules of schedules


def rates_of(optimizer, schedule, steps):
    """The learning rate now and after each of `steps` steps."""
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def sgd(lr=1.0):
    return rv.optim.SGD([rv.zeros(1, requires_grad=True)], lr=lr)


def test_warm_restarts_are_found_exactly():
    schedule = S.CosineAnnealingWarmRestarts(sgd(), 1, 3)
    for epoch, cycle in ((121, 243), (120.5, 81), (40, 81), (4, 9), (1, 3), (0, 1)):
        schedule.step(epoch)
        assert schedule.T_i == cycle
        assert schedule.T_cur == epoch - (cycle - 1) / 2
    schedule.step(121)
    assert schedule.get_last_lr() == [1.0]


def test_warm_restarts_resume_where_they_were():
    optimizer = sgd()
    rates = rates_of(optimizer, S.CosineAnnealingWarmRestarts(optimizer, 3, 2), 30)
    for at in (1, 3, 9, 17, 21):
        resumed = sgd()
        resumed.param_groups[0].update(initial_lr=1.0, lr=rates[at - 1])
        assert rates_of(resumed, S.CosineAnnealingWarmRestarts(resumed, 3, 2, last_epoch=at - 1), 30 - at) == rates[at:]


@pytest.mark.parametrize(
    "make, epoch, rate",
    [
        (lambda o: S.StepLR(o, 3, 0.5), 7, 0.25),
        (lambda o: S.ExponentialLR(o, 0.5), 3, 0.125),
        (lambda o: S.LinearLR(o, 0.5, 1.0, 4), 2, 0.75),
        (lambda o: S.PolynomialLR(o, 4, 2.0), 3, 0.0625),
        (lambda o: S.CosineAnnealingLR(o, 4), 2, 0.5),
        (lambda o: S.MultiStepLR(o, [2, 5], 0.1), 5, 0.01),
        (lambda o: S.LambdaLR(o, lambda t: 1 / (1 + t)), 3, 0.25),
    ],
)
def test_a_step_to_an_epoch(make, epoch, rate):
    optimizer = sgd()
    schedule = make(optimizer)
    optimizer.step()
    for before in (9, 0, epoch):
        schedule.step(before)
    assert schedule.last_epoch == epoch
    np.testing.assert_allclose(schedule.get_last_lr(), [rate], rtol=1e-12)


def test_warm_ups_of_no_steps():
    optimizer = sgd()
    assert rates_of(optimizer, S.LinearLR(optimizer, 0.1, 0.5, total_iters=0), 2) == [0.5] * 3
    for make in (
        lambda o: S.PolynomialLR(o, total_iters=0),
        lambda o: S.LinearLR(o, total_iters=-1),
        lambda o: S.ConstantLR(o, total_iters=-1),
    ):
        with pytest.raises(ValueError, match="total_iters=(0|-1) must be at least"):
            make(sgd())


def test_one_cycle_goes_to_its_very_end():
    optimizer = rv.optim.SGD([rv.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    rates = rates_of(optimizer, S.OneCycleLR(optimizer, 1.0, total_steps=4, pct_start=1.0), 4)
    assert rates[3] == 1.0 and rates[4] == pytest.approx(4e-6)


def nested(o):
    warm_up = S.LinearLR(o, 0.5, 1.0, 2)
    inner = S.SequentialLR(o, [S.ConstantLR(o, 0.25, 2), S.ExponentialLR(o, 0.5)], [2])
    both = S.ChainedScheduler([S.ConstantLR(o, 0.5, 2), S.StepLR(o, 3, 0.1)])
    return S.SequentialLR(o, [warm_up, inner, both], [2, 6])


# warm-up; a quarter, then halves; a half for two steps, and a tenth from the third
NESTED = [0.5, 0.75, 0.25, 0.25, 1.0, 0.5, 0.5, 0.5, 1.0, 0.1, 0.1]


def test_schedules_of_schedules_of_schedules():
    optimizer = sgd()
    np.testing.assert_allclose(rates_of(optimizer, nested(optimizer), 10), NESTED, rtol=1e-12)


@pytest.mark.parametrize("at", range(1, 10))
def test_a_sequence_resumes_where_it_was(at):
    def make(o, **options):
        return S.SequentialLR(o, [S.LinearLR(o, 0.2, 1.0, 4), S.ExponentialLR(o, 0.5)], [4], **options)

    optimizer = sgd()
    rates = rates_of(optimizer, make(optimizer), 12)
    resumed = sgd()
    resumed.param_groups[0].update(initial_lr=1.0, lr=rates[at - 1])
    np.testing.assert_allclose(rates_of(resumed, make(resumed, last_epoch=at - 1), 12 - at), rates[at:], rtol=1e-12)

    optimizer = sgd()  # by states
    schedule = nested(optimizer)
    rates_of(optimizer, schedule, at)
    other = sgd()
    loaded = nested(other)
    other.load_state_dict(optimizer.state_dict())
    loaded.load_state_dict(schedule.state_dict())
    np.testing.assert_allclose(rates_of(other, loaded, 10 - at), NESTED[at:], rtol=1e-12)


class WarmUp(S._LRScheduler):
    """As users write it for PyTorch."""

    def __init__(self, optimizer, steps, after=None, last_epoch=-1, verbose=False):
        self.steps, self.after = steps, after
        super().__init__(optimizer, last_epoch, verbose)

    def get_lr(self):
        if not self._get_lr_called_within_step:
            raise RuntimeError
        return [base * min(1.0, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]


def test_a_schedule_of_ones_own(capsys):
    optimizer = sgd()
    assert isinstance(WarmUp(optimizer, 4), S.LRScheduler)
    assert rates_of(optimizer, WarmUp(optimizer, 4, verbose=True), 4) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert capsys.readouterr().out.splitlines()[1] == "Step 1: learning rate of group 0 is 5.0000e-01."
    optimizer = sgd()
    schedule = S.SequentialLR(optimizer, [S.ConstantLR(optimizer, 0.5, 9), WarmUp(optimizer, 2)], [2])
    assert rates_of(optimizer, schedule, 4) == [0.5, 0.5, 0.5, 1.0, 1.0]
    schedule = WarmUp(sgd(), 4)
    schedule.step(2)
    assert schedule.get_last_lr() == [0.75]


def test_what_plateaus_say(capsys):
    schedule = S.ReduceLROnPlateau(sgd(), patience=0, verbose=True)
    for loss in (1.0, 2.0):
        schedule.step(loss)
    schedule.step(3.0, epoch=7)
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "Step 2: learning rate of group 0 is reduced to 1.0000e-01.",
        "Step 7: learning rate of group 0 is reduced to 1.0000e-02.",
    ]


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "ReduceLROnPlateau"])
def test_a_rate_in_a_tensor_stays_the_same_tensor(name):
    rate = rv.tensor(0.5, dtype=rv.float64)
    optimizer = rv.optim.SGD([rv.zeros(1, requires_grad=True)], lr=rate, momentum=0.9)
    make = {
        "StepLR": lambda: S.StepLR(optimizer, 1, 0.5),
        "OneCycleLR": lambda: S.OneCycleLR(optimizer, 0.5, 9),
        "ReduceLROnPlateau": lambda: S.ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
    }
    schedule = make[name]()
    before = rate.item()
    optimizer.step()
    for _ in range(2):
        schedule.step(1.0) if name == "ReduceLROnPlateau" else schedule.step()
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() != before
    assert schedule.get_last_lr() == [rate.item()]
