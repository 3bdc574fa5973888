"""Small file systems in memory, which can be filled to the last byte; only root can make them."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import suppress
from pathlib import Path

_BLOCK_BYTES = 64 * 1024


class Disk:
    """A mounted tmpfs.

    Args:
        path: where it is mounted; made when it is not there.
        size_bytes: what it holds.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self._ballast = path / ".ballast"
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(path)],
            check=True,
        )

    def fill(self) -> None:
        """Take all the room that is left."""
        ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for size in (_BLOCK_BYTES, 512):
                try:
                    while os.write(ballast, b"\0" * size):
                        os.lseek(ballast, 0, os.SEEK_END)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        finally:
            os.close(ballast)

    def relieve(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away with all that is on it."""
        unmount(self.path)


def unmount(path: Path) -> None:
    """Unmount what is mounted at a path, also when somebody still has a file open on it."""
    with suppress(FileNotFoundError):
        subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)


def why_no_disks() -> str:
    """Return why no file system can be mounted here; empty when it can."""
    return "" if os.geteuid() == 0 else "only root can mount a small file system"
