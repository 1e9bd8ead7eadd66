"""Old names of `torch.nn.utils`."""

from ...nn.utils import clip_grad_norm_ as clip_grad_norm

__all__ = ["clip_grad_norm"]
