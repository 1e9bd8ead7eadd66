"""The op table, one record an op, and the public functions over it, in families that mirror csrc/cpu/."""

from __future__ import annotations

from ..ops import (
    activation,
    attention,
    compare,
    composed,
    convolution,
    creation,
    ctc,
    elementwise,
    embedding,
    index,
    join,
    linalg,
    matrix,
    moments,
    optim,
    pooling,
    put,
    random,
    recurrent,
    reduction,
    scan,
    shape,
    trigonometry,
)
from . import (
    einsum as _einsum,
)
from . import (
    int8 as _int8,
)
from . import (
    matmul as _matmul,
)
from . import (
    softmax as _softmax,
)
from . import (
    sort as _sort,
)
from . import (
    sparse as _sparse,
)
from .activation import *  # noqa: F403
from .compare import *  # noqa: F403
from .composed import *  # noqa: F403
from .convolution import *  # noqa: F403
from .creation import *  # noqa: F403
from .einsum import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .index import *  # noqa: F403
from .join import *  # noqa: F403
from .linalg import *  # noqa: F403
from .matmul import *  # noqa: F403
from .matrix import *  # noqa: F403
from .moments import *  # noqa: F403
from .optim import scale_all, total_norm
from .pooling import *  # noqa: F403
from .public import expose
from .put import *  # noqa: F403
from .random import *  # noqa: F403
from .record import OPS, Op, Sample
from .recurrent import *  # noqa: F403
from .reduction import *  # noqa: F403
from .require import require as require
from .scan import *  # noqa: F403
from .shape import *  # noqa: F403
from .softmax import *  # noqa: F403
from .sort import *  # noqa: F403
from .trigonometry import *  # noqa: F403

FAMILIES = (
    activation, attention, compare, composed, convolution, creation, ctc, _einsum, elementwise, embedding, index, _int8,
    join, linalg, _matmul, matrix, moments, optim, pooling, put, random, recurrent, reduction, scan, shape, _softmax,
    _sort, trigonometry,
)  # fmt: skip
PUBLIC = [name for family in FAMILIES for name in family.__all__]

__all__ = PUBLIC

expose(globals(), PUBLIC, [name for family in FAMILIES for name in getattr(family, "REMEMBERED", ())])


def methods() -> list[tuple[str, bool]]:
    """Public functions whose first argument is called `input`: they are Tensor methods too. With each, whether
    `x.name_()` exists: for the families whose results have their input's shape.
    """
    result = []
    for family in FAMILIES:
        if family in (convolution, pooling, recurrent):  # layers' functions: in PyTorch no methods either
            continue
        keeps_shape = family in (elementwise, composed, trigonometry, activation, index, join, put, scan)
        for name in family.__all__:
            function = getattr(family, name)
            code = getattr(getattr(function, "prepare", function), "__code__", None)
            if code is not None and code.co_argcount and code.co_varnames[0] == "input":
                result.append((name, keeps_shape))
    return result
