"""The version, for the package and for what it says about itself."""

__version__ = "0.1.0"
