"""The old names of `torch.nn.init`, without the underscore."""

from ...nn import init as _init

for _name in _init.__all__:
    if _name.endswith("_"):
        globals()[_name[:-1]] = getattr(_init, _name)
