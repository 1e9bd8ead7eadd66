"""Compiled functions: traces of a function, kept by signature."""

from __future__ import annotations

from .function import CompiledFunction, compile

__all__ = ["CompiledFunction", "compile"]
