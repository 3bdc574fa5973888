"""Clocks that can be set while a program runs: Debian's libfaketime, loaded before it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LIBRARY: Final = "faketime/libfaketime.so.1"
_FOLDERS: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")


def library() -> Path | None:
    """Return libfaketime, or None where it is not installed."""
    found = (Path(folder) / _LIBRARY for folder in _FOLDERS)
    return next((path for path in found if path.is_file()), None)


def why_no_faketime() -> str:
    """Return why clocks cannot be set here; empty when they can."""
    return "" if library() else "libfaketime is not installed: run scripts/setup.sh --tests"


class Clock:
    """The clock of the programs that are started with `environment`; time that passes is real.

    Args:
        file: where its offset is kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that put a program under this clock."""
        found = library()
        assert found is not None, why_no_faketime()
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Without it the file is read each time that a program asks what time it is.
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset_seconds: int) -> None:
        """Let the clock show the true time and so many seconds."""
        scratch = self._file.with_suffix(".new")
        scratch.write_text(f"{offset_seconds:+d}\n")
        scratch.replace(self._file)
