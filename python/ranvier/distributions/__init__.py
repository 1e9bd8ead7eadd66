"""Probability distributions over tensors, with PyTorch's names: draw, score, compare.

>>> import ranvier as rv
>>> from ranvier.distributions import Categorical
>>> policy = Categorical(logits=rv.tensor([2.0, 0.0, 0.0], requires_grad=True))
>>> action = policy.sample()
>>> (-policy.log_prob(action)).backward()  # the gradient of REINFORCE
"""

from ..core.namespace import listing as _listing  # noqa: I001
from .distribution import Distribution as Distribution, Independent as Independent
from .continuous import Exponential as Exponential, Normal as Normal, Uniform as Uniform
from .discrete import Bernoulli as Bernoulli, Categorical as Categorical
from .divergence import kl_divergence as kl_divergence, register_kl as register_kl

__all__ = [
    "Bernoulli", "Categorical", "Distribution", "Exponential", "Independent", "Normal", "Uniform", "kl_divergence",
    "register_kl",
]  # fmt: skip

__dir__ = _listing(globals())
