"""Switches of `torch.backends.cuda` and `torch.backends.mkldnn`, which scripts set; nothing here reads them."""

allow_tf32 = False
enabled = True


def is_available() -> bool:
    """Whether that library runs anything."""
    return False


is_built = is_available
