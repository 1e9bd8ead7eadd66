"""What every distribution has, and the one that counts its last axes as one event."""

from __future__ import annotations

import math
from typing import Any

from ..core.context import no_grad
from ..core.dtypes import get_default_dtype, is_float
from ..core.errors import DomainError, ShapeError
from ..core.tensor import as_tensor
from ..core.traced import is_traced
from ..ops import broadcast_tensors
from ..tensor import Tensor


class Distribution:
    """A family of distributions, one for each element of `batch_shape`, whose draws have `event_shape`.

    `sample(shape)` draws tensors of shape `(*shape, *batch_shape, *event_shape)` that no gradient enters; `rsample` draws
    such that gradients reach the parameters, where the distribution has a reparametrisation (`has_rsample`).
    Parameters and values are checked, unless validate_args=False; inside a compiled function they have no values to
    check.
    """

    has_rsample = False

    def __init__(
        self, batch_shape: tuple[int, ...] = (), event_shape: tuple[int, ...] = (), validate_args: bool | None = None
    ):
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)
        self.validate_args = validate_args is not False

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draws without a history."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draws as a differentiable function of the parameters."""
        raise NotImplementedError(f"{type(self).__name__}: draws have no gradient; use sample() and log_prob()")

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density, or probability, of `value`."""
        raise NotImplementedError(f"{type(self).__name__}.log_prob")

    def entropy(self) -> Tensor:
        """The mean of -log_prob over draws, in nats."""
        raise NotImplementedError(f"{type(self).__name__}.entropy")

    def cdf(self, value: Any) -> Tensor:
        """The probability of draws up to `value`."""
        raise NotImplementedError(f"{type(self).__name__}.cdf")

    def icdf(self, value: Any) -> Tensor:
        """The number that draws stay below with probability `value`: the inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__}.icdf")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        raise NotImplementedError(f"{type(self).__name__}.mean")

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        raise NotImplementedError(f"{type(self).__name__}.variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def extended(self, sample_shape: tuple[int, ...] | int) -> tuple[int, ...]:
        """The shape of draws."""
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        return (*shape, *self.batch_shape, *self.event_shape)

    def value(self, value: Any) -> Tensor:
        """`value` as a tensor, checked by `support`."""
        t = as_tensor(value)
        if self.validate_args and not is_traced(t._data):
            ok = self.support(t)
            if not bool(ok.all()):
                raise DomainError(f"{type(self).__name__}: a value is outside of the support, {self.rule}")
        return t

    rule = "the real numbers"

    def support(self, value: Tensor) -> Tensor:
        """Which elements are possible draws."""
        return value == value

    def __repr__(self) -> str:
        given = ", ".join(f"{k}: {self._shown(v)}" for k, v in vars(self).items() if isinstance(v, Tensor))
        return f"{type(self).__name__}({given})"

    @staticmethod
    def _shown(t: Tensor) -> str:
        return str(t.item()) if t.ndim == 0 and not is_traced(t._data) else str(tuple(t.shape))


def parameters(*given: Any) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape and one float dtype."""
    dtypes = [t.dtype for t in given if isinstance(t, Tensor) and is_float(t.dtype)]
    tensors = [as_tensor(t, dtypes[0] if dtypes else get_default_dtype()) for t in given]
    return list(broadcast_tensors(*tensors))


def require(where: str, what: str, t: Tensor, ok: Tensor, rule: str) -> None:
    """DomainError unless all of `ok`; unknown inside a trace."""
    if not is_traced(ok._data) and not bool(ok.all()):
        raise DomainError(f"{where}: {what} of shape {tuple(t.shape)} must be {rule}")


class Independent(Distribution):
    """`base` with its last `reinterpreted_batch_ndims` batch axes counted as part of one event: log_prob sums over them.

    >>> import ranvier as rv
    >>> from ranvier.distributions import Independent, Normal
    >>> d = Independent(Normal(rv.zeros(2, 3), 1.0), 1)
    >>> d.batch_shape, d.event_shape, tuple(d.log_prob(rv.zeros(2, 3)).shape)
    ((2,), (3,), (2,))
    """

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ):
        shape, n = base_distribution.batch_shape, reinterpreted_batch_ndims
        if not 0 <= n <= len(shape):
            raise ShapeError(
                f"Independent: reinterpreted_batch_ndims={n} must be in [0, {len(shape)}], the axes of batch_shape {shape}"
            )
        whole = shape + base_distribution.event_shape
        cut = len(shape) - n
        super().__init__(whole[:cut], whole[cut:], validate_args)
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        self.has_rsample = base_distribution.has_rsample

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self.summed(self.base_dist.entropy())

    def summed(self, x: Tensor) -> Tensor:
        """`x`, of one value for each of the base's batch, summed over the axes that belong to the event."""
        n = self.reinterpreted_batch_ndims
        return x.sum(dim=tuple(range(-n, 0))) if n else x

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


LOG_2PI = math.log(2 * math.pi)
