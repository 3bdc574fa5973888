"""Compares a table with its altered copy, row by row, on a server that goes on working.

Knows no tool: what a difference means, and when it is looked at again, is the caller's.
"""

from __future__ import annotations

from tabletd.executor.verify.comparison import Comparison, check_comparable, open_comparison
from tabletd.executor.verify.rows import Chunk, Difference, RowKey, VerifyOptions
from tabletd.executor.verify.scratch import drop_scratch

__all__ = [
    "Chunk",
    "Comparison",
    "Difference",
    "RowKey",
    "VerifyOptions",
    "check_comparable",
    "drop_scratch",
    "open_comparison",
]
