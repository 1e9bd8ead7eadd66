"""`torch.version`."""

from .names import __version__

cuda = hip = None
debug = False
__all__ = ["__version__", "cuda", "debug", "hip"]
