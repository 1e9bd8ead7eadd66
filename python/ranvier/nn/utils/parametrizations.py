"""Weights that are kept to a form: `weight_norm`, `spectral_norm`, `orthogonal`, by `parametrize`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...core.context import no_grad
from ...core.errors import DomainError, ShapeError, StateError
from ...core.tensor import from_numpy
from ...tensor import Tensor
from .. import functional as F
from ..conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def weight_of(function: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise StateError(f"{function}: {type(module).__name__} has no parameter or buffer {name!r}")
    return weight


# ---------------------------------------------------------------- direction and length


def _lengths(v: Any, dim: int) -> Any:
    """The norm of each slice of v along `dim`, kept as an axis; of all of v for -1."""
    others = [d for d in range(v.ndim) if d != dim]
    return ops.sqrt(ops.sum(ops.square(v), others, keepdim=True)) if dim != -1 else ops.sqrt(ops.sum(ops.square(v)))


class WeightNorm(Module):
    """g v / |v|, each slice along `dim` by itself, all of v at once where it is None."""

    def __init__(self, dim: int | None = 0):
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """The weight of lengths g along the directions v."""
        return ops.mul(weight_v, ops.div(weight_g, _lengths(weight_v, self.dim)))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """The lengths and the directions of a weight."""
        return _lengths(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """w = g v / |v|: the weight's lengths and directions as parameters of their own. Salimans and Kingma, 2016.

    g (`parametrizations.weight.original0`) has one length for each slice along `dim`, or one in all for None; v
    (`original1`) is the weight as it was. Returns the module.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
    >>> [(name, tuple(p.shape)) for name, p in layer.named_parameters() if "weight" in name]
    [('parametrizations.weight.original0', (40, 1)), ('parametrizations.weight.original1', (40, 20))]
    """
    weight_of("weight_norm", module, name)
    return register_parametrization(module, name, WeightNorm(dim), unsafe=True)


# ---------------------------------------------------------------- the greatest singular value


def as_matrix(weight: Any, dim: int) -> Any:
    """The weight as a matrix with a row for each place of `dim`."""
    axes = (dim, *(d for d in range(weight.ndim) if d != dim))
    return ops.flatten(ops.permute(weight, axes) if dim else weight, 1)


@no_grad()
def start_vectors(weight: Any, dim: int, eps: float) -> list[Any]:
    """Unit vectors at random, with as many numbers as the matrix has rows, and columns."""
    from ...random import randn

    return [F.normalize(randn(n, dtype=weight.dtype), dim=0, eps=eps) for n in as_matrix(weight.detach(), dim).shape]


@no_grad()
def power_method(matrix: Any, u: Any, v: Any, times: int, eps: float) -> None:
    """u := W v / |W v|, v := W^T u / |W^T u|, in place."""
    matrix = matrix.detach()
    new_u, new_v = u, v
    for _ in range(times):
        new_u = F.normalize(ops.matmul(matrix, new_v), dim=0, eps=eps)
        new_v = F.normalize(ops.matmul(ops.transpose(matrix, 0, 1), new_u), dim=0, eps=eps)
    u.copy_(new_u)
    v.copy_(new_v)


def by_its_norm(weight: Any, dim: int, u: Any, v: Any) -> Any:
    """weight / (u^T W v)."""
    u, v = u.clone(), v.clone()  # a later iteration does not reach into this backward pass
    return ops.div(weight, ops.sum(ops.mul(u, ops.matmul(as_matrix(weight, dim), v))))


def check_spectral(module: Module, weight: Any, n_power_iterations: int, dim: int | None) -> int:
    """`dim`, at least 0; None is the axis of the layer's weight that counts its outputs."""
    ndim = weight.ndim
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    if not -ndim <= dim < ndim:
        raise ShapeError(f"spectral_norm: dim={dim} must be in [{-ndim}, {ndim - 1}] for weight{tuple(weight.shape)}")
    if n_power_iterations < 1:
        raise DomainError(f"spectral_norm: n_power_iterations={n_power_iterations} must be at least 1")
    return dim % ndim


class SpectralNorm(Module):
    """W / sigma(W), with the singular vectors that the power method is at, buffers `_u` and `_v`."""

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        self.dim, self.eps, self.n_power_iterations = dim, eps, n_power_iterations
        if weight.ndim > 1:
            for name, start in zip(("_u", "_v"), start_vectors(weight, dim, eps)):
                self.register_buffer(name, start)
            power_method(as_matrix(weight, dim), self._u, self._v, 15, eps)

    def forward(self, weight: Any) -> Any:
        """The weight by its norm; in training after further iterations."""
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        if self.training:
            power_method(as_matrix(weight, self.dim), self._u, self._v, self.n_power_iterations, self.eps)
        return by_its_norm(weight, self.dim, self._u, self._v)

    def right_inverse(self, value: Any) -> Any:
        """The value itself."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """W / sigma(W), sigma the greatest singular value, so that the layer lengthens nothing. Miyato et al., 2018.

    sigma is u^T W v, with vectors that move by `n_power_iterations` of the power method each time the weight is read in
    training; a weight of more axes is taken as a matrix with a row for each place of `dim` (None: that of the outputs).
    The weight is `parametrizations.weight.original`, the vectors `parametrizations.weight.0._u` and `_v`. Returns the
    module.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 40), n_power_iterations=30)
    >>> round(rv.linalg.matrix_norm(layer.weight, 2).item(), 2)
    1.0
    """
    weight = weight_of("spectral_norm", module, name)
    dim = check_spectral(module, weight, n_power_iterations, dim)
    return register_parametrization(module, name, SpectralNorm(weight, n_power_iterations, dim, eps))


# ---------------------------------------------------------------- orthogonal matrices


def _eye(x: Any) -> Any:
    return from_numpy(np.eye(x.shape[-1], dtype=x.dtype))


_SQUARINGS = 10
_TAYLOR = 12


def _exponential(a: Any) -> Any:
    """exp(A) = exp(A / 2^k)^(2^k), the former by its Taylor polynomial; k follows from A's norm, up to _SQUARINGS."""
    norm = ops.amax(ops.sum(ops.abs(a), -1), -1)[..., None, None].detach()
    halvings = ops.clamp(ops.ceil(ops.log2(ops.clamp(norm * 4, min=1.0))), 0.0)
    a = ops.mul(a, ops.exp2(ops.neg(halvings)))
    one = _eye(a)
    powers = [one, a, ops.matmul(a, a)]
    powers.append(ops.matmul(powers[2], a))
    fourth = ops.matmul(powers[2], powers[2])
    terms = [1 / math.factorial(i) for i in range(_TAYLOR + 1)]
    total = ops.mul(one, terms[_TAYLOR])
    for begin in range(_TAYLOR - 4, -1, -4):  # Horner's rule in A^4
        part = ops.mul(powers[0], terms[begin])
        for i in range(1, 4):
            part = ops.add(part, ops.mul(powers[i], terms[begin + i]))
        total = ops.add(ops.matmul(fourth, total), part)
    for i in range(_SQUARINGS):
        total = ops.where(ops.gt(halvings, i), ops.matmul(total, total), total)
    return ops.where(ops.gt(halvings, _SQUARINGS), math.nan, total)  # sooner no number than a wrong one


def _inverse_of_triangular(u: Any) -> Any:
    """The inverse of an upper triangular matrix: of the blocks on its diagonal, each twice as large as the last."""
    k = u.shape[-1]
    size = 1 << max(k - 1, 0).bit_length()
    u = F.pad(u, (0, size - k, 0, size - k))
    if size > k:
        u = ops.add(u, from_numpy(np.diag((np.arange(size) >= k).astype(u.dtype))))
    lead = tuple(u.shape[:-2])
    inverse = ops.reshape(ops.reciprocal(ops.diagonal(u, 0, -2, -1)), (*lead, size, 1, 1))
    block = 1
    while block < size:
        pairs = size // (2 * block)
        grid = ops.reshape(u, (*lead, pairs, 2 * block, pairs, 2 * block))
        corner = ops.movedim(ops.diagonal(grid, 0, -4, -2), -1, -3)[..., :block, block:]
        both = ops.reshape(inverse, (*lead, pairs, 2, block, block))
        upper, lower = both[..., 0, :, :], both[..., 1, :, :]
        off = ops.neg(ops.matmul(ops.matmul(upper, corner), lower))
        rows = [ops.cat([upper, off], -1), ops.cat([off * 0.0, lower], -1)]
        inverse = ops.cat(rows, -2)
        block *= 2
    return ops.reshape(inverse, (*lead, size, size))[..., :k, :k]


def _reflected(x: Any) -> Any:
    """The first k columns of the product of the reflections I - 2 v v^T / v^T v, v the columns of x's lower part with
    ones on the diagonal: I - V U^-1 V^T, U the upper part of V^T V with half its diagonal.
    """
    n, k = x.shape[-2:]
    v = ops.add(ops.tril(x, -1), from_numpy(np.eye(n, k, dtype=x.dtype)))
    products = ops.matmul(ops.transpose(v, -2, -1), v)
    half = ops.sub(ops.triu(products), ops.mul(ops.mul(products, _eye(products)), 0.5))
    right = ops.matmul(_inverse_of_triangular(half), ops.transpose(v[..., :k, :], -2, -1))
    return ops.sub(from_numpy(np.eye(n, k, dtype=x.dtype)), ops.matmul(v, right))


def _tall_qr(a: np.ndarray) -> np.ndarray:
    """The orthogonal factor Q of A = Q R with a positive diagonal of R."""
    q, r = np.linalg.qr(a)
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return q * np.where(signs == 0, 1, signs)[..., None, :]


class Orthogonal(Module):
    base: Any

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool = True):
        self.shape, self.orthogonal_map = tuple(weight.shape), orthogonal_map
        self.trivialized = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        """The orthogonal matrix that belongs to x."""
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = ops.transpose(x, -2, -1)
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            signs = ops.where(ops.lt(ops.diagonal(x, 0, -2, -1), 0), -1.0, 1.0)
            q = ops.mul(_reflected(x), signs[..., None, :])
        else:
            x = F.pad(ops.tril(x), (0, n - k))
            a = ops.sub(x, ops.transpose(x, -2, -1))
            if self.orthogonal_map == "matrix_exp":
                q = _exponential(a)
            else:
                from ...linalg import solve

                half = ops.mul(a, 0.5)
                q = solve(ops.sub(_eye(a), half), ops.add(_eye(a), half))
            q = q[..., :k]
        if self.trivialized:
            q = ops.matmul(self.base, q)
        return ops.transpose(q, -2, -1) if wide else q

    @no_grad()
    def right_inverse(self, q: Any) -> Any:
        """What to start from, so that the matrix is q, or nearest by q's QR decomposition where q is not orthogonal."""
        if tuple(q.shape) != self.shape:
            raise ShapeError(f"orthogonal: a weight of shape {tuple(q.shape)} must have {self.shape}")
        values = q.detach().numpy()
        wide = values.shape[-2] < values.shape[-1]
        if wide:
            values = values.swapaxes(-2, -1)
        n, k = values.shape[-2:]
        if self.trivialized:
            self.base = from_numpy(np.ascontiguousarray(_completed(values)))
            start = np.zeros(values.shape, values.dtype)
            start[..., np.arange(k), np.arange(k)] = -1  # reflections of the axes; the others do not see the diagonal
        elif self.orthogonal_map == "householder":
            start = _reflectors(values)
        else:
            raise NotImplementedError("orthogonal: without use_trivialization matrix_exp and cayley have no inverse")
        return from_numpy(np.ascontiguousarray(start.swapaxes(-2, -1) if wide else start))


def _completed(a: np.ndarray) -> np.ndarray:
    """An orthogonal square matrix that begins with the orthogonal factor of a; with a itself, if that is orthogonal."""
    n, k = a.shape[-2:]
    if n > k:
        more = np.random.default_rng(0).standard_normal((*a.shape[:-1], n - k))
        return _tall_qr(np.concatenate([a, more.astype(a.dtype)], -1))
    off = np.abs(a.swapaxes(-2, -1) @ a - np.eye(k, dtype=a.dtype)).max(initial=0)
    return a if off <= 10 * n * np.finfo(a.dtype).eps else _tall_qr(a)


def _reflectors(a: np.ndarray) -> np.ndarray:
    """Householder's vectors below the diagonal, and signs on it, whose product is the orthogonal factor of a."""
    k = a.shape[-1]
    flat = a.reshape(-1, *a.shape[-2:])
    found = np.empty_like(flat)
    for matrix, out in zip(flat, found):
        raw, tau = np.linalg.qr(matrix, mode="raw")
        out[:] = raw.T
        sign = np.where(np.diagonal(out) < 0, -1, 1)
        out[np.arange(k), np.arange(k)] = np.where(tau == 0, -sign, sign)  # LAPACK left such a reflection out
    return found.reshape(a.shape)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a weight orthogonal: Q^T Q = I, or Q Q^T = I where it is wide. Returns the module.

    orthogonal_map: "matrix_exp" (exp(A) of a skew matrix A; the default of square weights), "cayley"
    ((I - A/2)^-1 (I + A/2), not in compiled functions) or "householder" (a product of reflections; the default of
    others). use_trivialization: start from the weight, held as the buffer `parametrizations.weight.0.base`, and learn
    what it is turned by (Lezcano-Casado, 2019). A weight that is not orthogonal is replaced by the orthogonal factor of
    its QR decomposition.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> w = nn.utils.parametrizations.orthogonal(nn.Linear(20, 40)).weight
    >>> bool(rv.allclose(w.T @ w, rv.eye(20), atol=1e-5))
    True
    """
    weight = weight_of("orthogonal", module, name)
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: {name}{tuple(weight.shape)} must be a matrix, or several")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise DomainError(
            f"orthogonal: orthogonal_map={orthogonal_map!r} must be 'matrix_exp', 'cayley' or 'householder'"
        )
    return register_parametrization(module, name, Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
