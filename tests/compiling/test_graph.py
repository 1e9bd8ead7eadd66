"""The graph: printing, checking, passes, the memory plan."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.core.errors import TraceError
from ranvier.core.traced import is_traced
from ranvier.graph import Graph, arena, passes, trace
from ranvier.ops import OPS


def t(*shape, seed=0, **options):
    return rv.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), **options)


# ---------------------------------------------------------------- printing and checking


def test_printer():
    weight, x = t(2, 3), t(4, 3)
    graph = trace(lambda x: (rv.relu(F.linear(x, weight)) * 2.0 + 1.0).sum(), x)
    assert (
        str(graph)
        == """\
graph(%in0: float32[4, 3])
  %state0: float32[2, 3]
  %v0: float32[4, 2] = linear(%in0, %state0, precision='highest')
  %v1: float32[4, 2] = relu(%v0)
  %v2: float32[4, 2] = mul(%v1, 2.0)
  %v3: float32[4, 2] = add(%v2, 1.0)
  %v4: float32[] = sum(%v3, dim=(0, 1), keepdim=False)
  return %v4"""
    )
    assert (
        str(passes.optimize(graph))
        == """\
graph(%in0: float32[4, 3])
  %state0: float32[2, 3]
  %v0: float32[4, 2] = group
    | %v1: float32[4, 2] = linear(%in0, %state0, precision='highest')
    | %v2: float32[4, 2] = relu(%v1)
    | %v3: float32[4, 2] = mul(%v2, 2.0)
    | %v0: float32[4, 2] = add(%v3, 1.0)
  %v4: float32[] = sum(%v0, dim=(0, 1), keepdim=False)
  return %v4"""
    )


def test_updates_are_printed():
    state = t(3)

    def step(x):
        state.add_(x)
        return state * 2

    text = str(trace(step, t(3)))
    assert "%state0 <- %v0" in text and "return %v1" in text


def chain():
    return trace(lambda x: rv.exp(x) * 2.0, t(3))


def test_check_refuses_use_before_definition():
    graph = chain()
    graph.nodes.reverse()
    with pytest.raises(TraceError, match=r"graph: mul uses a value of shape \(3,\) that nothing before it makes"):
        graph.check()


def test_check_refuses_lost_results():
    graph = chain()
    del graph.nodes[-1]
    with pytest.raises(TraceError, match="the end of the graph uses a value"):
        graph.check()


def test_check_refuses_wrong_specs():
    graph = chain()
    graph.nodes[0].outputs[0].shape = (4,)
    with pytest.raises(TraceError, match=r"exp has outputs \[\(\(4,\)"):
        graph.check()


def test_check_refuses_updates_of_another_shape():
    state = t(3)
    graph = trace(lambda x: state.add_(x), t(3))
    (old,) = graph.updates
    graph.updates[old] = graph.input((4,), np.dtype("float32"))
    with pytest.raises(TraceError, match=r"a state of \(3,\) float32 is updated with \(4,\) float32"):
        graph.check()


# ---------------------------------------------------------------- passes


def mlp_step(seed=0):
    rv.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = optim.AdamW(model.parameters(), lr=0.01)

    def step(x, y):
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return model, step


@pytest.mark.parametrize("off", [(), ("simplify",), ("fuse",), ("simplify", "fuse"), ("recompute",)], ids=str)
def test_passes_do_not_change_results(off):
    """Training with a pass switched off: the same numbers up to rounding (and without fusion of products, the same bits)."""
    x, y = t(8, 6), rv.tensor(np.arange(8) % 3)

    def run(*without):
        model, step = mlp_step()
        with passes.without(*without):
            compiled = rv.compile(step)
            losses = [compiled(x, y).item() for _ in range(4)]
        return losses, [p.detach().numpy() for p in model.parameters()]

    losses, parameters = run()
    other_losses, other_parameters = run(*off)
    np.testing.assert_allclose(losses, other_losses, rtol=1e-5)
    for a, b in zip(parameters, other_parameters):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_unknown_pass_is_refused():
    with pytest.raises(ValueError, match=r"passes: \['fold'\] must be among"), passes.without("fold"):
        pass


def kinds(graph):
    return [node.name for node in passes.optimize(graph).nodes]


def test_constants_fold_and_identities_vanish():
    assert kinds(trace(lambda x: x * 1.0 - 0.0 + rv.exp(rv.zeros(3)) * 0.0, t(3))) in (["add"], [])
    assert kinds(trace(lambda x: (x * 1.0) / 1.0, t(3))) == []
    assert kinds(trace(lambda x: x.reshape(3, 4).permute(0, 1).reshape(12), t(12))) in ([], ["reshape", "reshape"])


def test_equal_calls_merge_and_dead_ones_go():
    def f(x):
        rv.sin(x)
        return rv.exp(x).sum() * rv.exp(x).mean()

    names = " ".join(kinds(trace(f, t(5))))
    assert names.count("exp") == 1 and "sin" not in names


def test_negative_zero_and_nan_stay():
    """Identities hold for every value: x + 0 is not x for x = -0, x * 0 is not 0 for NaN."""
    x = rv.tensor([-0.0, np.nan, np.inf, 1.0])
    for f in (
        lambda x: x + 0.0,
        lambda x: x * 0.0,
        lambda x: x - x,
        lambda x: x * 1.0,
        lambda x: x - 0.0,
        lambda x: x / 1.0,
    ):
        assert same_bits(rv.compile(f)(x), f(x))


def test_chains_fuse():
    graph = passes.optimize(trace(lambda x: rv.tanh(rv.exp(x) * 2 + x) - 1, t(100)))
    assert [n.name for n in graph.nodes] == ["exp+mul+add+tanh+sub"]


@pytest.mark.parametrize("seed", range(30))
def test_random_programs(seed):
    """Random programs with reuse, broadcasts, views, reductions, products and updates: compiled is eager, to the bit."""
    state = [t(4, 4, seed=seed), t(4, seed=seed + 1)]

    def program(x, y):
        pool = [x, y, state[0], state[1]]
        choice = np.random.default_rng(seed)
        for _ in range(14):
            a, b = (pool[i] for i in choice.integers(0, len(pool), 2))
            kind = choice.integers(0, 9)
            if kind <= 2:
                pool.append((a + b, a * b, rv.maximum(a, b))[kind])
            elif kind == 3:
                pool.append(rv.tanh(a))
            elif kind == 4:
                pool.append(a.sum(-1, keepdim=True) * 0.1 if a.ndim == 2 else a.exp() * 0.01)
            elif kind == 5 and a.shape == (4, 4):
                pool.append(a.T)
            elif kind == 6 and a.shape == (4, 4) and b.shape[-2:] == (4, 4):
                pool.append(a @ b * 0.25)
            elif kind == 7 and a.ndim == 2:
                pool.append(a[::-1, 1:].mean())
            elif kind == 8 and a.shape == (4, 4):
                state[0].copy_(rv.tanh(a + state[0]))
            else:
                pool.append(a - 0.5)
        return pool[-1], pool[-2], pool[len(pool) // 2]

    x, y = t(4, 4, seed=seed + 2), t(1, 4, seed=seed + 3)
    start = [s.detach().clone() for s in state]
    eager = [program(x, y) for _ in range(2)]
    after = [s.detach().clone() for s in state]
    for s, v in zip(state, start):
        s.copy_(v)
    compiled = rv.compile(program)
    for wanted in eager:
        for a, b in zip(compiled(x, y), wanted):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-5)
    for a, b in zip(state, after):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-5)


def test_graphs_values_and_tensors_have_a_device():
    seen = []

    def f(x):
        y = x * 2
        seen.append((is_traced(y._data), y.device))
        return y

    graph = trace(f, rv.ones(3))
    assert graph.device == "cpu" and all(v.device == "cpu" for v in (*graph.inputs, *graph.outputs))
    eager = f(rv.ones(3))
    assert seen == [(True, "cpu"), (False, "cpu")] and eager.device == "cpu"
    elsewhere = Graph(device="meta")
    value = elsewhere.input((2,), np.dtype("float32"))
    assert value.device == "meta"
    eager._data = value
    assert eager.device == "meta"


# ---------------------------------------------------------------- memory


blocks = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 30), st.integers(0, 30)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(blocks)
def test_live_blocks_do_not_overlap(specs):
    planned = [arena.Block(n, min(a, b), max(a, b)) for n, a, b in specs]
    size = arena.plan(planned)
    for i, a in enumerate(planned):
        assert a.offset % arena.ALIGN == 0 and 0 <= a.offset and a.offset + a.nbytes <= size
        for b in planned[:i]:
            apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            assert apart or a.last < b.first or b.last < a.first, (a, b)


def test_arena_is_reused():
    """A long chain of products of one size needs room for a few of them only."""
    weights = [t(64, 64, seed=i) for i in range(10)]

    def f(x):
        for w in weights:
            x = x @ w
        return x.sum()

    compiled = rv.compile(f)
    compiled(t(64, 64))
    (traces,) = compiled._traces.values()
    plan = getattr(traces[0].program, "plan", None)
    if plan is None:
        pytest.skip("the backend has no plan")
    assert plan.arena_bytes <= 3 * 64 * 64 * 4


def test_updates_happen_in_place():
    """An optimizer's update copies nothing: the plan binds parameters and states themselves."""
    model, step = mlp_step()
    compiled = rv.compile(step)
    arrays = [p._data for p in model.parameters()]
    before = [a.copy() for a in arrays]
    compiled(t(8, 6), rv.tensor(np.arange(8) % 3))
    assert all(p._data is a for p, a in zip(model.parameters(), arrays))
    assert not any(np.array_equal(a, b) for a, b in zip(arrays, before))
    (traces,) = compiled._traces.values()
    if hasattr(traces[0].program, "plan"):
        described = traces[0].program.plan.describe()
        assert described.count(" copy") <= 1, described


def test_what_is_written_over_is_computed_in_place():
    """Clipped gradients: computed, scaled and left behind in one piece of memory; clipping or not, as in eager mode."""
    for limit in (1e9, 1e-3):
        grads = []
        for wrap in (lambda f: f, rv.compile):
            model = rv.nn.Linear(6, 5)
            with rv.no_grad():
                for i, p in enumerate(model.parameters()):
                    p.copy_(t(*p.shape, seed=i))

            def step(x, model=model, limit=limit):
                for p in model.parameters():
                    p.grad = None
                (model(x) ** 2).sum().backward()
                return rv.nn.utils.clip_grad_norm_(model.parameters(), limit)

            compiled = wrap(step)
            compiled(t(8, 6))
            grads.append([p.grad.numpy().copy() for p in model.parameters()])
        for a, b in zip(*grads):
            np.testing.assert_array_equal(a, b)
        (traces,) = compiled._traces.values()
        if hasattr(traces[0].program, "plan"):
            scaling = [row for row in traces[0].program.plan.describe().splitlines() if "[scale_all" in row]
            assert len(scaling) == 1 and scaling[0].count("arena") == 1, scaling  # the factor


def test_swapped_states():
    """Updates read all old values: two states that exchange their values, and one that takes its own transpose."""
    a, b, c = t(5, seed=1), t(5, seed=2), t(3, 3, seed=3)
    old = [x.numpy().copy() for x in (a, b, c)]

    @rv.compile
    def swap():
        x, y = a * 1.0, b * 1.0
        a.copy_(y)
        b.copy_(x)
        c.copy_(c.T)

    swap()
    assert (
        np.array_equal(a.numpy(), old[1]) and np.array_equal(b.numpy(), old[0]) and np.array_equal(c.numpy(), old[2].T)
    )
    swap()
    assert all(np.array_equal(x.numpy(), o) for x, o in zip((a, b, c), old))


def test_outputs_are_fresh():
    """What a run returned is not overwritten by the next, and an output that is an input or a state is a copy."""
    state = rv.zeros(3)

    @rv.compile
    def f(x):
        state.add_(1.0)
        return x, state, x * 2, state

    x = rv.ones(3)
    first = f(x)
    second = f(rv.full((3,), 5.0))
    assert first[0].tolist() == [1.0] * 3 and first[1].tolist() == [1.0] * 3 and first[2].tolist() == [2.0] * 3
    assert second[1].tolist() == [2.0] * 3 == state.tolist()
    first[1].fill_(9.0)
    assert state.tolist() == [2.0] * 3


def test_verify_reports_every_node():
    report = rv.verify(lambda x: rv.tanh(x @ x).sum(), t(20, 20))
    assert [d.op for d in report] == ["matmul", "tanh", "sum"] and report.worst < 1e-5
    assert "matmul" in str(report)


def test_every_traced_op_knows_its_layer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 4), nn.Tanh())

        def forward(self, x):
            return self.body(x)

    net = Net()
    graph = trace(net, t(2, 3))
    assert [n.layer.split(" ")[0] for n in graph.nodes] == ["body.0", "body.1"], str(graph)
    assert "add" in OPS


@pytest.mark.parametrize(
    "shape, part", [((64, 2048), np.s_[:1]), ((3, 50, 600), np.s_[:, :1]), ((200, 200), np.s_[:, :1])]
)
def test_an_operand_that_broadcasts_a_part_of_another_is_not_overwritten(shape, part):
    def f(x):
        a = rv.cumsum(x, 0)
        return rv.cumsum(a - a[part], 0)

    x = rv.tensor(np.random.default_rng(0).random(shape))
    assert same_bits(rv.compile(f)(x).numpy(), f(x).numpy())


def test_light_activations_are_made_again_for_the_backward_pass():
    """Fewer bytes in the arena, and the same bits."""

    def run(*without, size=64):
        rv.manual_seed(0)
        layers = [layer for _ in range(4) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
        model, x = nn.Sequential(*layers), rv.randn(16, 8, size, size)

        def step(x):
            model.zero_grad()
            model(x).square().mean().backward()

        with passes.without(*without):
            compiled = rv.compile(step)
            compiled(x)
            graph = passes.optimize(trace(step, x))
        return [p.grad.numpy() for p in model.parameters()], sum(n.name.endswith("relu") for n in graph.nodes)

    (kept, once), (again, twice) = run("recompute"), run()
    assert twice > once == run(size=8)[1]  # not where memory is small
    for a, b in zip(kept, again):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("window", [2, 3], ids=["apart", "overlapping"])
def test_the_mask_of_relu_is_taken_of_what_a_pool_has_picked(window):
    x = t(2, 3, 9, 9)
    x.requires_grad_()

    def step():
        x.grad = None
        F.max_pool2d(F.relu(x * 2), window, 2).pow(3).sum().backward()
        return x.grad

    grads = []
    for without in ((), ("mask",)):
        with passes.without(*without):
            grads.append(rv.compile(step)().numpy().copy())
            nodes = [step for n in passes.optimize(trace(step)).nodes for step in n.body]
        masks = [n.outputs[0].shape for n in nodes if n.name == "relu_grad"]
        assert masks == [(2, 3, 9, 9) if without else (2, 3, 4, 4)]
    assert same_bits(*grads)
