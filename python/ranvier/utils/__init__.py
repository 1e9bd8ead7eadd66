"""What PyTorch keeps in `torch.utils`: `utils.data` is `ranvier.data`."""

from . import data as data
