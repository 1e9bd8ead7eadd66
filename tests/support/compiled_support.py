"""What tests of compiled functions share."""

from __future__ import annotations

import numpy as np
import ranvier as rv


def t(*shape, seed=0, **options):
    return rv.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), **options)


def counted(fn):
    """fn, compiled, and a list that grows by each trace."""
    traces = []

    def wrapped(*args, **kwargs):
        traces.append(1)
        return fn(*args, **kwargs)

    return rv.compile(wrapped), traces
