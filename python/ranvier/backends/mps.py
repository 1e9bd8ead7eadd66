"""Apple's GPUs, as scripts ask for them."""


def is_available() -> bool:
    """Whether tensors can lie on one."""
    return False


def is_built() -> bool:
    """Whether the package has kernels for them."""
    return False
