"""Datasets, loaders, samplers; scalers against scikit-learn's."""

import numpy as np
import pytest
import ranvier as rv
from ranvier.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    MinMaxScaler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    StandardScaler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
)

X, Y = np.arange(20.0, dtype=np.float32).reshape(10, 2), np.arange(10)


class Squares(Dataset):
    """A map-style dataset that has no arrays."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        return {"x": float(i), "y": (i * i, np.full(2, i))}


@pytest.mark.parametrize("drop_last, sizes", [(False, [4, 4, 2]), (True, [4, 4])])
@pytest.mark.parametrize("source", ["arrays", "tensors", "dataset", "subset"])
def test_batches_in_order(source, drop_last, sizes):
    dataset = {
        "arrays": (X, Y),
        "tensors": (rv.from_numpy(X), rv.from_numpy(Y)),
        "dataset": TensorDataset(X, Y),
        "subset": Subset(TensorDataset(X, Y), range(10)),
    }[source]
    loader = DataLoader(dataset, batch_size=4, drop_last=drop_last)
    batches = list(loader)
    assert len(loader) == len(batches) == len(sizes)
    assert all(isinstance(t, rv.Tensor) for batch in batches for t in batch)
    assert [len(x) for x, _ in batches] == sizes
    np.testing.assert_array_equal(np.concatenate([np.asarray(x) for x, _ in batches]), X[: sum(sizes)])
    assert batches[0][0].dtype == np.float32 and batches[0][1].dtype == np.int64


def test_shuffle_is_a_permutation_new_each_epoch_and_seeded():
    loader = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, generator=7)
    first, second = (np.concatenate([np.asarray(y) for _, y in loader]) for _ in range(2))
    assert sorted(first) == list(range(10)) and list(first) != list(second)
    again = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, generator=7)
    np.testing.assert_array_equal(first, np.concatenate([np.asarray(y) for _, y in again]))
    for x, y in loader:
        np.testing.assert_array_equal(np.asarray(x), X[np.asarray(y)])


def test_shuffle_follows_manual_seed():
    orders = []
    for _ in range(2):
        rv.manual_seed(5)
        orders.append(np.concatenate([np.asarray(y) for _, y in DataLoader((X, Y), batch_size=5, shuffle=True)]))
    np.testing.assert_array_equal(*orders)


def test_map_style_items_are_collated():
    batch = next(iter(DataLoader(Squares(), batch_size=3)))
    assert batch["x"].tolist() == [0.0, 1.0, 2.0] and batch["x"].dtype == np.float32
    assert batch["y"][0].tolist() == [0, 1, 4]
    assert batch["y"][1].shape == (3, 2)
    assert next(iter(DataLoader(Squares(), batch_size=3, collate_fn=len))) == 3
    assert list(DataLoader(["a", "b", "c"], batch_size=2)) == [["a", "b"], ["c"]]
    assert list(DataLoader([1, 2, 3], batch_size=None)) == [1, 2, 3]


def test_samplers():
    assert list(DataLoader(Y, batch_size=2, sampler=[3, 1, 2]))[1][0].tolist() == [2]
    assert [b[0].tolist() for b in DataLoader(Y, batch_sampler=[[1, 2], [0]])] == [[1, 2], [0]]
    assert len(list(RandomSampler(Y, replacement=True, num_samples=25, generator=0))) == 25
    drawn = WeightedRandomSampler([0, 1, 3], 4000, generator=0).order()
    assert 0 not in drawn and abs(np.mean(drawn == 2) - 0.75) < 0.03
    assert [len(b) for b in BatchSampler(range(5), 2, True)] == [2, 2]


def test_concat_and_split():
    both = TensorDataset(X, Y) + TensorDataset(X + 100, Y + 100)
    assert len(both) == 20 and both[13][1] == 103 and both[-1][1] == 109
    with pytest.raises(IndexError, match="20"):
        both[20]
    labels = np.concatenate([np.asarray(y) for _, y in DataLoader(both, batch_size=8)])
    assert list(labels) == [*range(10), *range(100, 110)]
    parts = random_split(TensorDataset(X, Y), [0.5, 0.25, 0.25], generator=1)
    assert [len(p) for p in parts] == [6, 2, 2]
    assert sorted(int(p[i][1]) for p in parts for i in range(len(p))) == list(range(10))
    assert [len(p) for p in random_split(Y, [3, 7], generator=np.random.default_rng(0))] == [3, 7]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TensorDataset(X, Y[:3]), "lengths \\[10, 3\\]"),
        (lambda: TensorDataset(), "at least one"),
        (lambda: TensorDataset(np.float32(1)), "no rows"),
        (lambda: DataLoader(X, batch_size=0), "batch_size=0"),
        (lambda: DataLoader(X, shuffle=True, sampler=[1]), "exclude"),
        (lambda: DataLoader(X, batch_size=2, batch_sampler=[[1]]), "excludes"),
        (lambda: DataLoader(iter(X)), "__len__"),
        (lambda: DataLoader(X, batch_size=None, drop_last=True), "batch_size"),
        (lambda: random_split(X, [3, 3]), "10 rows"),
        (lambda: ConcatDataset([]), "at least one"),
        (lambda: WeightedRandomSampler([-1, 2], 3), "weights"),
        (lambda: list(DataLoader([(1, 2), (1,)], batch_size=2)), "lengths"),
        (lambda: list(DataLoader([object()], batch_size=2)), "collate_fn"),
        (lambda: list(DataLoader([None, None], batch_size=2)), "NoneType.*does __getitem__ return"),
        (lambda: list(DataLoader([1, None], batch_size=2)), "int, NoneType"),
        (lambda: list(DataLoader([np.ones(2), np.ones(3)], batch_size=2)), "shapes \\[\\(2,\\), \\(3,\\)\\]"),
        (lambda: list(DataLoader([np.array(["a"])], batch_size=1)), "<U1 array"),
        (lambda: list(DataLoader([{"a": 1}, {"b": 1}], batch_size=2)), "no key 'a'"),
        (lambda: DataLoader(X, num_workers=-1), "num_workers=-1"),
        (lambda: DataLoader(IterableDataset(), shuffle=True), "own order"),
        (lambda: DataLoader(X, batch_size=True), "batch_size=True"),
        (lambda: random_split(X, [1.5, -0.5]), "negative"),
        (lambda: ConcatDataset([IterableDataset()]), "ChainDataset"),
        (lambda: ChainDataset([TensorDataset(X)]), "IterableDataset"),
        (lambda: StackDataset(X, Y[:2]), "lengths \\[10, 2\\]"),
        (lambda: WeightedRandomSampler([np.inf, 2], 3), "weights"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def order(loader):
    return [int(y) for batch in loader for y in batch[-1]]


def test_the_generators_state_at_the_beginning_of_a_pass_decides_on_its_order():
    g = rv.Generator(seed=3)
    loader = DataLoader((X, Y), batch_size=3, shuffle=True, generator=g)
    first, second = order(loader), order(loader)
    assert first != second
    g.manual_seed(3)
    assert order(loader) == first
    state = g.get_state()
    assert order(loader) == second
    g.set_state(state)
    assert order(loader) == second
    default = DataLoader((X, Y), batch_size=3, shuffle=True)
    rv.manual_seed(1)
    first = order(default)
    rv.manual_seed(1)
    assert order(default) == first
    for sampler in (
        RandomSampler(Y, generator=5),
        RandomSampler(Y, replacement=True, generator=np.random.default_rng(1)),
        SubsetRandomSampler(range(10), generator=rv.Generator(2)),
        WeightedRandomSampler(np.ones(10), 10, generator=1),
    ):
        state = sampler.state_dict()
        first, second = list(sampler), list(sampler)
        sampler.load_state_dict(state)
        assert [list(sampler), list(sampler)] == [first, second] and first != second


def test_draws_with_replacement_are_made_as_they_are_needed():
    sampler = RandomSampler(Y, replacement=True, num_samples=int(1e10), generator=0)
    loader = DataLoader((X, Y), batch_size=4, sampler=sampler)
    assert len(loader) == 2_500_000_000
    batches = iter(loader)
    seen = [next(batches)[1].tolist() for _ in range(20_000)]
    assert {len(rows) for rows in seen} == {4} and {y for rows in seen for y in rows} == set(range(10))
    assert next(iter(sampler)) in range(10)


class Numbers(IterableDataset):
    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def __iter__(self):
        return iter(range(self.begin, self.end))


class Counted(Numbers):
    def __len__(self):
        return self.end - self.begin


def test_streams(torch):
    class Theirs(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    for options in ({"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}):
        loader = DataLoader(Numbers(0, 5), **options)
        for _ in range(2):
            ours = [b.tolist() if isinstance(b, rv.Tensor) else b for b in loader]
            assert ours == [
                b.tolist() if isinstance(b, torch.Tensor) else b
                for b in torch.utils.data.DataLoader(Theirs(), **options)
            ]
    with pytest.raises(TypeError, match="no __len__"):
        len(DataLoader(Numbers(0, 5)))
    assert len(DataLoader(Counted(0, 5), batch_size=2)) == 3
    assert len(DataLoader(Counted(0, 5), batch_size=2, drop_last=True)) == 2
    chained = Counted(0, 3) + Counted(7, 9)
    assert isinstance(chained, ChainDataset) and list(chained) == [0, 1, 2, 7, 8] and len(chained) == 5
    assert [b.tolist() for b in DataLoader(chained, batch_size=3)] == [[0, 1, 2], [7, 8]]
    assert get_worker_info() is None


def test_what_is_for_workers_is_accepted():
    options = dict(
        pin_memory=True, timeout=5, worker_init_fn=print, multiprocessing_context="spawn", prefetch_factor=2,
        persistent_workers=True, pin_memory_device="cpu", in_order=False,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="num_workers is not used"):
        loader = DataLoader((X, Y), 4, num_workers=2, **options)
    assert order(loader) == order(loader) == list(range(10))
    assert loader.num_workers == 2 and loader.timeout == 5


@pytest.mark.parametrize("items", [
    [1, 2.5], [1, 2], [True, False], [True, 2], [(1, 2.0), (2.5, 1)], [{"a": 1, "b": 2.5}, {"a": 2.5, "b": 1}],
    [1.5, 2], [[1, 2], [3.5, 4]], ["a", "b"], [("a", 1), ("b", 2.5)], [(1, (2, "x")), (3, (4.5, "y"))], [b"a", b"b"],
])  # fmt: skip
def test_collate_like_pytorch(torch, items):
    from torch.utils.data import default_collate as theirs

    def plain(x):
        if hasattr(x, "tolist"):
            return str(x.dtype).removeprefix("torch.").replace("float64", "float32"), x.tolist()
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return type(x)(map(plain, x)) if isinstance(x, (tuple, list)) else x

    assert plain(default_collate(items)) == plain(theirs(items))


def test_collate_of_arrays_and_tensors(torch):
    from torch.utils.data import default_collate as theirs

    for pair in ([np.ones(2), np.ones(2, "f4")], [np.ones(2, int), np.ones(2)], [np.float64(1.5), np.float64(2)],
                 [np.int64(1), np.int64(2)], [np.zeros((2, 1), bool)] * 2):  # fmt: skip
        ours, expected = default_collate(pair), theirs(pair)
        assert ours.tolist() == expected.tolist() and str(expected.dtype) == f"torch.{ours.dtype}"
    mixed = default_collate([rv.tensor([1, 2]), rv.tensor([1.5, 2.5])])
    assert mixed.dtype == rv.float32 and mixed.tolist() == [[1, 2], [1.5, 2.5]]
    assert default_collate([np.ones(2, np.int16), np.ones(2, np.int16)]).dtype == np.int32
    assert default_collate([np.ones(2, np.float16)] * 2).dtype == np.float32
    assert default_collate([rv.ones(2, requires_grad=True)]).requires_grad is False


def test_items_of_wide_dtypes_keep_their_values():
    halves = default_collate([np.full(2, 0.5, np.longdouble)] * 2)
    assert halves.dtype == np.float64 and halves.tolist() == [[0.5, 0.5]] * 2
    assert default_collate([np.uint64(2**63 - 1)] * 2).tolist() == [2**63 - 1] * 2
    with pytest.raises(ValueError, match="uint64"):
        default_collate([np.uint64(2**63)] * 2)


class Odd(Sampler):
    def __init__(self, rows):
        super().__init__(rows)
        self.rows = rows

    def __iter__(self):
        return iter(range(1, self.rows, 2))


def test_samplers_of_ones_own():
    assert order(DataLoader((X, Y), batch_size=2, sampler=Odd(10))) == [1, 3, 5, 7, 9]
    assert list(BatchSampler(Odd(10), 2, True)) == [[1, 3], [5, 7]]
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    words = {"a": 1, "b": 2, "c": 3}
    assert [b.tolist() for b in DataLoader(words, batch_size=2, sampler=["c", "a", "b"])] == [[3, 1], [2]]

    class Forever:
        def __iter__(self):
            while True:
                yield 3

    batches = iter(DataLoader((X, Y), batch_size=2, sampler=Forever()))
    assert next(batches)[1].tolist() == [3, 3]
    rows = iter(SubsetRandomSampler([4, 2, 8], generator=0))
    assert sorted(rows) == [2, 4, 8]


def test_datasets_side_by_side():
    both = StackDataset(TensorDataset(X), TensorDataset(Y))
    assert len(both) == 10 and both[3][1][0] == 3
    named = StackDataset(x=X, y=Y)
    batch = next(iter(DataLoader(named, batch_size=4)))
    assert batch["y"].tolist() == [0, 1, 2, 3] and batch["x"].shape == (4, 2)
    assert Subset(TensorDataset(X, Y), [3, 1, 2])[[0, 2]][1].tolist() == [3, 2]
    parts = random_split(TensorDataset(X, Y), [0.7, 0.3], generator=rv.Generator().manual_seed(42))
    again = random_split(TensorDataset(X, Y), [0.7, 0.3], generator=rv.Generator().manual_seed(42))
    assert [len(p) for p in parts] == [7, 3] and list(parts[0].indices) == list(again[0].indices)


def test_items_fetched_together():
    class Together(Dataset):
        def __len__(self):
            return 5

        def __getitems__(self, rows):
            return [10 * row for row in rows]

    assert [b.tolist() for b in DataLoader(Together(), batch_size=3)] == [[0, 10, 20], [30, 40]]


SCALED = np.random.default_rng(0).normal([1e6, 3, -2, 0], [1, 1e-3, 50, 0], (60, 4))
SCALED[:, 3] = 0.1 + 0.2  # constant, and not exact in binary
WITH_NAN = SCALED.copy()
WITH_NAN[5, 1] = np.nan


@pytest.mark.parametrize("data", [SCALED, WITH_NAN, SCALED.astype(np.float32), np.arange(12).reshape(6, 2)])
@pytest.mark.parametrize("name, options", [
    ("StandardScaler", {}), ("StandardScaler", {"with_mean": False}), ("StandardScaler", {"with_std": False}),
    ("MinMaxScaler", {}), ("MinMaxScaler", {"feature_range": (-1, 3), "clip": True}),
])  # fmt: skip
def test_scalers_are_scikit_learns(name, options, data):
    from sklearn import preprocessing

    ours = {"StandardScaler": StandardScaler, "MinMaxScaler": MinMaxScaler}[name](**options)
    theirs = getattr(preprocessing, name)(**options)
    half = len(data) // 2
    wide = data.astype(np.float64)
    result, expected = ours.fit(data[:half]).transform(data), theirs.fit(wide[:half]).transform(wide)
    assert result.dtype == (np.float32 if data.dtype == np.float32 else np.float64)
    rtol = 1e-5 if data.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(ours.inverse_transform(expected), theirs.inverse_transform(expected), rtol=1e-9)
    loaded = type(ours)(**options)
    loaded.load_state_dict(ours.state_dict())
    np.testing.assert_array_equal(loaded.transform(data), result)


def test_scalers_take_tensors_and_name_mistakes():
    scaler = StandardScaler()
    with pytest.raises(RuntimeError, match="call fit"):
        scaler.transform(X)
    out = scaler.fit_transform(rv.from_numpy(X))
    assert isinstance(out, rv.Tensor) and out.dtype == np.float32
    np.testing.assert_allclose(np.asarray(scaler.inverse_transform(out)), X, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="fit\\(\\) saw \\(2,\\)"):
        scaler.transform(np.ones((3, 5)))
    with pytest.raises(ValueError, match="no rows"):
        scaler.fit(np.ones((0, 2)))
    with pytest.raises(ValueError, match="reshape"):
        scaler.fit(np.ones(3))
    with pytest.raises(TypeError, match="numeric"):
        scaler.fit(np.array([["a"]]))
    with pytest.raises(ValueError, match="feature_range"):
        MinMaxScaler((1, 0))
    with pytest.raises(KeyError, match="mean_"):
        scaler.load_state_dict({"a": np.ones(2)})
