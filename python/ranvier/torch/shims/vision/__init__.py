"""`torchvision`: transforms, data sets of local files, and pictures of batches."""

__version__ = "0.28.0"
