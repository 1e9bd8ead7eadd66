"""Graphs of ops: the IR, tracing into it, passes over it, and compiled functions."""
from __future__ import annotations

from . import passes
from .compile import CompiledFunction, compile
from .graph import Graph, Group, Node, Value
from .trace import trace
from .verify import verify

__all__ = ["Graph", "Group", "Node", "Value", "CompiledFunction", "compile", "passes", "trace", "verify"]
