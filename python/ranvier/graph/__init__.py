"""Graphs of ops: the IR, tracing into it, passes over it, and compiled functions."""
from __future__ import annotations

from .compile import compile, compiled_for
from .graph import Graph, Group, Node, Value
from .trace import trace
from .verify import verify

__all__ = ["Graph", "Group", "Node", "Value", "compile", "compiled_for", "trace", "verify"]
