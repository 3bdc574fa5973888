"""Migrations under faults: servers, daemons and tools are killed, frozen, cut off and misled."""
