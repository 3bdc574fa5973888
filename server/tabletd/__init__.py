"""A daemon beside one MySQL or MariaDB server: replication lag and online schema changes."""

from __future__ import annotations

__version__ = "0.1.0"
