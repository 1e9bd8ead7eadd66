"""What a network costs: parameters, operations, bytes, memory, time and energy, and how they grow."""

from __future__ import annotations

from ..core.namespace import listing as _listing
from .energy import Energy
from .layers import Summary, summary
from .machine import Machine, machine
from .measure import profile
from .report import Report
from .scaling import Growth, growth

__all__ = ["Energy", "Growth", "Machine", "Report", "Summary", "growth", "machine", "profile", "summary"]

__dir__ = _listing(globals())
