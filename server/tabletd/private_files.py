"""Files that hold a secret: nobody but the daemon and root may read or change them."""

from __future__ import annotations

import errno
import logging
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from tabletd.errors import Reason, TabletdError

_logger = logging.getLogger(__name__)

_NOT_ORDINARY: Final = "no ordinary file"
_ROOT: Final = 0
# A service's password is root's, and the service reads it by its group.
_FORBIDDEN_OF_ROOT: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_FORBIDDEN: Final = stat.S_IRWXG | stat.S_IRWXO


def read_secret(path: Path, key: str) -> str:
    """Return the password that a file holds, without the newline at its end.

    Raises:
        TabletdError: INVALID_CONFIG, as `read_private`.
    """
    return read_private(path, key).removesuffix("\n")


def read_private(path: Path, key: str) -> str:
    """Return the text of a file that only we and root may read.

    Args:
        path: the file.
        key: the setting that names it.

    Raises:
        TabletdError: INVALID_CONFIG when it cannot be read, or others may read or write it.
    """
    try:
        with _opened(path) as file:
            _check(path, os.fstat(file.fileno()), key)
            return file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, key, error) from None


def read_again(path: Path) -> bytes:
    """Return what is in a file that is read whenever it has changed.

    Raises:
        OSError: it cannot be read, or is a pipe or a device: that would hold us up for ever, and
            has its text once only.
    """
    with _opened(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, _NOT_ORDINARY)
        return file.read()


def check_private(path: Path, key: str) -> None:
    """Make sure that only we and root may read a file.

    Args:
        path: the file.
        key: the setting that names it.

    Raises:
        TabletdError: INVALID_CONFIG when others may read or write it; the hint has the command.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, key, error) from None
    _check(path, found, key)


def warn_of_open_files(*paths: Path | None) -> None:
    """Say which files with a secret every account of this machine may read.

    For those that other servers take as they are: Vitess's file of users, keys of certificates.
    """
    for path in paths:
        with suppress(OSError):
            if path is not None and path.stat().st_mode & stat.S_IROTH:
                _logger.warning("every account of this machine can read %s", path)


def _opened(path: Path) -> BinaryIO:
    # A pipe that nobody writes to would hold up even the opening.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def _check(path: Path, found: os.stat_result, key: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(key, f"{path} is {_NOT_ORDINARY}", "name a file that can be read again")
    us = os.geteuid()
    if us != _ROOT and found.st_uid not in (us, _ROOT):
        raise _refused(
            key,
            f"{path} belongs to {account_name(found.st_uid)}, who may read and change it",
            f"chown {account_name(us)} {path} && chmod 600 {path}",
        )
    is_roots = found.st_uid == _ROOT
    if found.st_mode & (_FORBIDDEN_OF_ROOT if is_roots else _FORBIDDEN):
        mode = stat.S_IMODE(found.st_mode)
        raise _refused(
            key,
            f"other accounts of this machine may read or write {path} (mode {mode:04o})",
            f"chmod {'640' if is_roots and us != _ROOT else '600'} {path}",
        )


def account_name(uid: int) -> str:
    """Return the name of an account of this machine, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _unreadable(path: Path, key: str, error: OSError | UnicodeDecodeError) -> TabletdError:
    found = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    return _refused(
        key, f"cannot read {path}: {found}", "the file must be readable by the daemon's user"
    )


def _refused(key: str, what: str, hint: str) -> TabletdError:
    return TabletdError(Reason.INVALID_CONFIG, f"{key}: {what}", hint=hint, key=key)
