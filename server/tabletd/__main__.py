"""`python -m tabletd` is the command `tabletd`."""

from __future__ import annotations

from tabletd.cli import main

if __name__ == "__main__":
    main()
