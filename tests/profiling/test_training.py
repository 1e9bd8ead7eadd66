"""What a run of fit took."""

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.train import Trainer

X, Y = np.zeros((70, 8), np.float32), np.zeros((70, 1), np.float32)


def trainer(**options):
    return Trainer(nn.Linear(8, 1), "mse", "sgd", lr=0.01, **options)


def of_a_step(rows):
    totals = rv.profile(nn.Linear(8, 1), X[:rows], target=Y[:rows], loss="mse", optimizer="sgd", measure=False).totals
    return totals["flops"]


def test_a_run_is_counted(capsys):
    """Also where several epochs are one native call, and where the last batch is shorter."""
    cost = trainer().fit(X, Y, epochs=5, batch_size=32, profile=True).cost
    assert cost["steps"] == 15 and cost["flops"] == 5 * (2 * of_a_step(32) + of_a_step(6))
    assert cost["seconds"] > 0 and 0 < cost["share_of_peak"] < 1 and cost["energy_joules"] > 0
    assert cost["flops_per_second"] == pytest.approx(cost["flops"] / cost["seconds"])
    assert "15 steps in" in capsys.readouterr().out
    assert trainer().fit(X[:64], Y[:64], epochs=50, batch_size=32, verbose=0, profile=True).cost["steps"] == 100


def test_batches_of_a_loader_are_counted():
    loader = rv.data.DataLoader(rv.data.TensorDataset(X, Y), batch_size=35)
    cost = trainer().fit(iter(list(loader)), verbose=0, profile=True).cost
    assert cost["steps"] == 2 and cost["flops"] == 2 * of_a_step(35)


def test_a_run_that_is_not_compiled_says_so(capsys):
    cost = trainer(compile=False).fit(X, Y, batch_size=35, profile=True).cost
    assert cost["steps"] == 2 and cost["flops"] is None and cost["share_of_peak"] is None
    assert "uncounted" in capsys.readouterr().out


def test_other_runs_count_nothing():
    run = trainer()
    assert run.fit(X, Y, verbose=0).cost is None
    assert all(step.counts is None for step in run._steps.values())


def test_what_is_learnt_is_the_same():
    def learnt(profile):
        rv.manual_seed(0)
        run = trainer()
        run.fit(X + 1, Y + 1, epochs=3, seed=0, verbose=0, profile=profile)
        return run.model.weight.detach().numpy()

    np.testing.assert_array_equal(learnt(False), learnt(True))
