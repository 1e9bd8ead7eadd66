"""Datasets, loaders, samplers; scalers against scikit-learn's."""

import numpy as np
import pytest
import ranvier as rv
from ranvier.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    MinMaxScaler,
    RandomSampler,
    StandardScaler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
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
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


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
