from ranvier.core.recent import Recent


def test_entries_in_use_are_kept():
    recent = Recent(8)
    recent["hot"] = 1
    for n in range(100):
        recent[n] = n
        assert recent["hot"] == 1 and recent[n] == n
    assert recent[0] is None and recent["unknown"] is None
    assert len(recent) <= 8


def test_the_last_ones_are_kept():
    recent = Recent(8)
    for n in range(100):
        recent[n] = n
        assert all(recent._old.get(m, recent.get(m)) == m for m in range(max(0, n - 7), n + 1))
