"""Graphs of ops: the IR, tracing into it, passes over it."""

from __future__ import annotations

from . import passes
from .ir import Graph, Group, Node, Value
from .trace import trace
from .verify import verify

__all__ = ["Graph", "Group", "Node", "Value", "passes", "trace", "verify"]
