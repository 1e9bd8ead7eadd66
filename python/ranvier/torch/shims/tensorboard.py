"""`torch.utils.tensorboard`: tensorboardX's writer."""

from __future__ import annotations

from typing import Any

__all__ = ["SummaryWriter"]


def SummaryWriter(*args: Any, **options: Any) -> Any:
    """tensorboardX.SummaryWriter(...); raises ImportError without it."""
    try:
        from tensorboardX import SummaryWriter as Writer  # type: ignore[import-not-found]
    except ImportError:
        raise ImportError("SummaryWriter needs tensorboardX: pip install 'ranvier[tensorboard]'") from None
    return Writer(*args, **options)
