"""Layers and losses as functions; `import ranvier.nn.functional as F`.

All take Tensors, or NumPy arrays and then return arrays. With `inplace` the result goes into the input's memory.
"""

from __future__ import annotations

from ..core.namespace import listing
from ..ops.activation import *  # noqa: F403
from ..ops.activation import __all__ as _activations
from ..ops.convolution import *  # noqa: F403
from ..ops.convolution import __all__ as _convolutions
from ..ops.index import one_hot
from ..ops.join import pad
from ..ops.matmul import bilinear, linear
from ..ops.pooling import *  # noqa: F403
from ..ops.pooling import __all__ as _pools
from ..ops.public import expose
from ..ops.shape import flatten, unflatten
from .attention_functions import *  # noqa: F403
from .attention_functions import __all__ as _attention
from .ctc import *  # noqa: F403
from .ctc import __all__ as _ctc
from .embedding_functions import *  # noqa: F403
from .embedding_functions import __all__ as _embeddings
from .fractional import *  # noqa: F403
from .fractional import __all__ as _fractional
from .functions import *  # noqa: F403
from .functions import __all__ as _functions
from .images import *  # noqa: F403
from .images import __all__ as _images
from .loss_functions import *  # noqa: F403
from .loss_functions import __all__ as _losses
from .margin_functions import *  # noqa: F403
from .margin_functions import __all__ as _margins
from .norms import *  # noqa: F403
from .norms import __all__ as _norms

__all__ = [
    *_activations, *_attention, *_convolutions, *_ctc, *_embeddings, *_fractional, *_functions, *_images, *_losses,
    *_margins, *_norms, *_pools,
    "bilinear", "flatten", "linear", "one_hot", "pad", "unflatten",
]  # fmt: skip

expose(globals(), __all__)
__dir__ = listing(globals())
