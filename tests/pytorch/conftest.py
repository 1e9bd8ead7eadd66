"""Tests of `ranvier.torch`: each begins with PyTorch's numbers and print, as a script does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ranvier.torch


@pytest.fixture(autouse=True)
def door(fresh_settings: Any) -> Iterator[Any]:
    """`ranvier.torch`, switched on for one test."""
    ranvier.torch.as_pytorch()
    yield ranvier.torch
    ranvier.torch.as_pytorch(False)
