"""Functions that references need and the array API has not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _by_element(function: Any) -> Any:
    vectorized = np.frompyfunc(function, 1, 1)

    def apply(xp: Any, x: Any) -> Any:
        special = getattr(getattr(xp, "scipy", None), "special", None)
        if special is not None:
            return getattr(special, function.__name__)(x)
        x = np.asarray(x)
        return np.asarray(vectorized(x.astype(np.float64)), np.float64).astype(x.dtype)

    return apply


erf = _by_element(math.erf)
erfc = _by_element(math.erfc)
