"""Whether our ports are free, or ours already."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil

from tabletd.app.address import Address
from tabletd.config import Config
from tabletd.doctor.findings import Finding, fail, ok, warn

_FURTHER: Final = ("grpc_password_port", "grpc_plain_port")


def ports(config: Config, path: Path | None) -> Sequence[Finding]:
    """Each port can be listened on, or this very daemon does.

    Args:
        config: the settings.
        path: their file: a daemon that runs with the same one is this one.
    """
    grpc_keys = ["grpc_port", *(key for key in _FURTHER if getattr(config, key) is not None)]
    wanted = [(key, Address(config.grpc_bind, getattr(config, key))) for key in grpc_keys]
    wanted.append(("http_port", Address(config.http_bind, config.http_port)))
    return [_port(key, address, path) for key, address in wanted]


def _port(key: str, address: Address, path: Path | None) -> Finding:
    if address.port == 0:
        return _any_port(key)
    problem = _try(address)
    if problem is None:
        return ok(f"{key}: {address} is free")
    if problem.errno == errno.EADDRINUSE:
        return _taken(key, address, path)
    remedy = f"set {key} above 1023"
    if problem.errno != errno.EACCES:
        bind = key.partition("_")[0] + "_bind"
        remedy = f"set {bind} to an address of this machine (ip -brief address)"
    return fail(f"{key}: {address} cannot be listened on: {problem.strerror}", remedy)


def _any_port(key: str) -> Finding:
    if key == "http_port":
        text = "http_port: 0, so tools at work do not find the next daemon"
        return warn(text, "set http_port to a number")
    return ok(f"{key}: any free one")


def _try(address: Address) -> OSError | None:
    """Take a port, as the daemon would, and give it back at once; return why it cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((address.host, address.port))
    except OSError as error:
        return error
    return None


def _taken(key: str, address: Address, path: Path | None) -> Finding:
    command = _listener(address.port)
    if command is not None and is_ours(command, path):
        return ok(f"{key}: {address} is this daemon's, which runs")
    who = f"by {' '.join(command)[:80]}" if command else "by a process that is not ours to see"
    return fail(
        f"{key}: {address} is taken {who}",
        f"ss -ltnp 'sport = :{address.port}' shows it (as root); end it, or set another {key}",
    )


def _listener(port: int) -> list[str] | None:
    """Return the command line of who listens; None: it cannot be seen."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port == port and connection.pid is not None:
            try:
                return psutil.Process(connection.pid).cmdline()
            except psutil.Error:
                return None
    return None


def is_ours(command: Sequence[str], path: Path | None) -> bool:
    """Say whether a command line is that of a daemon with the same configuration file.

    Args:
        command: of whoever listens.
        path: the file; None: there is none, and so must it be there.
    """
    is_daemon = "serve" in command and any("tabletd" in word for word in command[:3])
    if not is_daemon:
        return False
    named = [word for before, word in pairwise(command) if before == "--config"]
    named += [word.partition("=")[2] for word in command if word.startswith("--config=")]
    if path is None or not named:
        return path is None and not named
    return Path(named[-1]).absolute() == path.absolute()
