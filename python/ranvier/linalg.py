"""Linear algebra, with PyTorch's and NumPy's names: tensors in, tensors out; arrays in, arrays out.

NumPy's LAPACK computes what is not a product or a norm; such functions have gradients and run outside of compiled functions.

>>> import ranvier as rv
>>> A = rv.tensor([[2.0, 1.0], [1.0, 3.0]])
>>> x = rv.linalg.solve(A, rv.tensor([3.0, 4.0]))
>>> [round(v, 4) for v in (A @ x).tolist()]
[3.0, 4.0]
"""

from __future__ import annotations

from .core.namespace import listing as _listing
from .ops.linalg import (
    EighResult,
    LstsqResult,
    QRResult,
    SlogdetResult,
    SVDResult,
    cholesky,
    cond,
    cross,
    det,
    eigh,
    eigvalsh,
    lstsq,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    vecdot,
    vector_norm,
)
from .ops.linalg import (
    inverse as inv,
)
from .ops.linalg import (
    pinverse as pinv,
)
from .ops.matmul import matmul
from .ops.public import expose as _expose

__all__ = [
    "EighResult", "LstsqResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cond", "cross", "det", "eigh",
    "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv",
    "qr", "slogdet", "solve", "svd", "svdvals", "vecdot", "vector_norm",
]  # fmt: skip

_expose(globals(), __all__)
__dir__ = _listing(globals())
