"""Layers, losses and models, with PyTorch's names."""

from ..core.namespace import listing as _listing
from . import ctc as ctc
from . import functional as functional
from . import generation as generation
from . import init as init
from . import positions as positions
from . import utils as utils
from .activation import *  # noqa: F403
from .adaptive import *  # noqa: F403
from .attention import *  # noqa: F403
from .container import *  # noqa: F403
from .conv import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .flatten import *  # noqa: F403
from .generation import KeyValueCache as KeyValueCache
from .linear import *  # noqa: F403
from .loss import *  # noqa: F403
from .module import Module as Module
from .normalization import *  # noqa: F403
from .padding import *  # noqa: F403
from .parameter import Parameter as Parameter
from .pooling import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .transformer import *  # noqa: F403
from .upsampling import *  # noqa: F403

__dir__ = _listing(globals(), ("ctc", "functional", "generation", "init", "positions", "utils"))
