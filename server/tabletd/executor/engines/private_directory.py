"""Directories that nobody else of this machine can look into, change, or put in our way."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError

_MODE: Final = 0o700
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_IS_LINK: Final = (errno.ELOOP, errno.ENOTDIR)
_ROOT: Final = 0
_SECRET_BYTES_MAX: Final = 64 * 1024


@contextmanager
def private_directory(path: Path) -> Generator[int]:
    """Make a directory, or take one that is there already, and open it for the length of a block.

    Args:
        path: absolute; what is above it is made as well.

    Yields:
        its descriptor: what is made under that is in this directory, whatever is done to its name.

    Raises:
        OSError: it cannot be made.
        TabletdError: PREFLIGHT_REFUSED, it is a symbolic link, somebody else's, or others may use
            it or put something else in its place.
    """
    path.parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
    _check_parent(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=_MODE)
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in _IS_LINK and path.is_symlink():
            raise _refused(f"{path} is a symbolic link", "remove it") from None
        raise
    try:
        _check(path, os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def make_inside(parent: int, name: str, *within: str) -> None:
    """Make a new directory in an open one.

    Args:
        parent: the open one's descriptor.
        name: of the new one.
        within: names of directories to be made in the new one.

    Raises:
        FileExistsError: something of that name is there, be it a link that leads nowhere.
    """
    os.mkdir(name, _MODE, dir_fd=parent)
    descriptor = os.open(name, _OPEN, dir_fd=parent)
    try:
        for one in within:
            os.mkdir(one, _MODE, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _check_parent(parent: Path) -> None:
    """Nobody else may take the directory away and put another one in its place."""
    found = parent.stat()
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise _refused(f"{parent} belongs to the account {found.st_uid}", "chown it")
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise _refused(f"everybody may change {parent}", f"chmod o-w {parent}")


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise _refused(f"{path} belongs to the account {found.st_uid}, not to ours", "chown it")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise _refused(
            f"other accounts of this machine may use {path} (mode {mode:04o})", f"chmod 700 {path}"
        )


def _refused(why: str, hint: str) -> TabletdError:
    return TabletdError(
        Reason.PREFLIGHT_REFUSED,
        f"{why}: no place for a migration's password",
        hint=f"{hint}, or name another run_directory",
    )


def remove_directory(directory: Path, *secrets: str) -> None:
    """Remove a directory with all that is in it, secrets first and overwritten before.

    Nothing happens when it is gone.

    Args:
        directory: what goes.
        secrets: patterns of the names of files in it that hold a password or a token.
    """
    for pattern in secrets:
        for path in directory.glob(pattern):
            with suppress(OSError):
                _overwrite(path)
                path.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def _overwrite(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            os.write(descriptor, bytes(min(found.st_size, _SECRET_BYTES_MAX)))
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
