"""Random options, and random changes between the steps, of every optimizer against PyTorch's."""

import random

import numpy as np
import pytest
import ranvier as rv

SHAPES = [(3, 2), (4,), (), (0, 2), (5,)]
BETAS = {"betas": [(0.9, 0.999), (0.5, 0.7)], "weight_decay": [0, 0.1]}
# optimizer -> options -> what they may be
OPTIONS = {
    "SGD": {"lr": [0.1], "momentum": [0, 0.9], "dampening": [0, 0.3], "weight_decay": [0, 0.1]},
    "Adam": {
        **BETAS,
        "lr": [0.05],
        "eps": [1e-8, 1e-3],
        "amsgrad": [True, False],
        "decoupled_weight_decay": [True, False],
    },
    "AdamW": {**BETAS, "lr": [0.05], "amsgrad": [True, False]},
    "Adamax": {**BETAS, "lr": [0.05]},
    "NAdam": {**BETAS, "momentum_decay": [4e-3, 0.1], "decoupled_weight_decay": [True, False]},
    "RAdam": {**BETAS, "decoupled_weight_decay": [True, False]},
    "RMSprop": {"alpha": [0.99, 0.5], "momentum": [0, 0.8], "centered": [True, False], "eps": [1e-4]},
    "Adagrad": {"lr": [0.1], "lr_decay": [0, 0.1], "initial_accumulator_value": [0.1, 0.3], "weight_decay": [0, 0.1]},
    "Adadelta": {"rho": [0.9, 0.5], "weight_decay": [0, 0.1]},
    "ASGD": {"lr": [0.1], "lambd": [1e-4, 0.1], "t0": [1e6, 3], "alpha": [0.75, 0.3]},
    "Rprop": {"lr": [0.01], "etas": [(0.5, 1.2), (0.3, 1.7)], "step_sizes": [(1e-6, 50), (1e-3, 0.05)]},
}
NUMBERS = ("step", "mu_product", "eta", "mu")


class Run:
    """An optimizer over a few parameters, and what may happen to it between its steps."""

    def __init__(self, lib, name, seed, compiled):
        self.lib, self.name, self.compiled = lib, name, compiled
        self.choice, self.numbers = random.Random(seed), np.random.default_rng(seed)
        options = {key: self.choice.choice(values) for key, values in OPTIONS[name].items()}
        self.sign = self.choice.choice([1, -1])
        self.params, self.targets, self.programs = [], [], {}
        for shape in SHAPES:
            self.new_parameter(shape)
        groups = [{"params": self.params[:2]}, {"params": self.params[2:], "lr": 0.03}]
        self.optimizer = getattr(lib.optim, name)(groups, **options, maximize=self.sign < 0)

    def new_parameter(self, shape):
        start, target = (self.lib.tensor(self.numbers.normal(size=shape), dtype=self.lib.float64) for _ in range(2))
        self.params.append(start.requires_grad_())
        self.targets.append(target)

    def step(self, live):
        self.optimizer.zero_grad()
        loss = sum(((self.params[i] - self.targets[i]) ** 2).sum() * (i + 1) for i in live)
        (loss * self.sign).backward()
        self.optimizer.step()

    def once(self):
        """A change or none, and a step with all or some of the gradients."""
        change = self.choice.choice(
            ["none", "rates", "clear", "forget", "reload", "group", "count", "states", "partial"]
        )
        p = self.choice.choice(self.params)
        entry = self.optimizer.state[p] if p in self.optimizer.state else {}
        live = tuple(range(len(self.params)))
        if change == "rates":
            for group in self.optimizer.param_groups:
                group["lr"] *= 0.7
        elif change == "clear" and self.name != "Adagrad":  # PyTorch's begins its states when it is made
            self.optimizer.state.clear()
        elif change == "forget" and self.name != "Adagrad":
            self.optimizer.state.pop(p, None)
        elif change == "reload":
            self.optimizer.load_state_dict(self.optimizer.state_dict())
        elif change == "group" and len(self.optimizer.param_groups) == 2:
            self.new_parameter((2,))
            self.optimizer.add_param_group({"params": self.params[-1:], "lr": 0.02})
            live = (*live, len(live))
        elif change == "count" and self.name != "SGD" and "step" in entry:
            entry["step"].fill_(self.choice.randint(1, 3))
        elif change == "states":
            for kind, state in entry.items():
                if kind not in NUMBERS and state is not None:
                    state.mul_(0.5)
        elif change == "partial":
            live = tuple(i for i in live if self.choice.random() < 0.6) or (0,)
        if self.compiled:
            run = self.programs.setdefault(live, self.lib.compile(lambda: self.step(live)))
            run()
        else:
            self.step(live)
        return change, np.concatenate([p.detach().numpy().ravel() for p in self.params])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OPTIONS)
def test_any_course_is_pytorchs(torch, double_scalars, name, seed):
    runs = [Run(torch, name, seed, False), Run(rv, name, seed, False), Run(rv, name, seed, True)]
    course = []
    for _ in range(20):
        (change, theirs), *ours = [run.once() for run in runs]
        course.append(change)
        for _, values in ours:
            np.testing.assert_allclose(values, theirs, rtol=1e-9, atol=1e-11, err_msg=" ".join(course))


def test_sums_of_adagrad_begin_at_once():
    w = rv.ones(2, requires_grad=True)
    optimizer = rv.optim.Adagrad([w], initial_accumulator_value=0.5)
    assert optimizer.state[w]["sum"].tolist() == [0.5, 0.5] and optimizer.state[w]["step"].item() == 0
