"""The program behind every gh-ost hook; a copy of it lies in the private directory of each run.

Run as `python -I -S hook_program.py EVENT` with gh-ost's `GH_OST_*` variables. Standard library
only. Writes `report.EVENT` first, then tries the daemon's callback once, and ends with 0 whatever
happens: a hook that fails would end the migration.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time

CALLBACK_SECONDS_MAX = 2.0
_STATUS_OF_EVENT = {"success": "complete", "failure": "failed"}


def read_values(path: str) -> dict[str, str]:
    """Read `name=value` lines."""
    with open(path, encoding="utf-8") as file:
        pairs = (line.rstrip("\n").partition("=") for line in file)
        return {name: value for name, _, value in pairs}


def write_values(path: str, values: dict[str, str]) -> None:
    """Write `name=value` lines so that a reader sees all of them or none."""
    scratch = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        for name, value in values.items():
            file.write(f"{name}={value.replace(chr(10), ' ')}\n")
    os.rename(scratch, path)


def report(event: str) -> dict[str, str]:
    """Return what gh-ost says of itself in the hook's environment."""

    def said(name: str) -> str:
        return os.environ.get(f"GH_OST_{name}", "")

    return {
        "event": event,
        "status": _STATUS_OF_EVENT.get(event, "running"),
        "dryrun": said("DRY_RUN"),
        "progress": said("PROGRESS"),
        "eta": said("ETA_SECONDS"),
        "rowscopied": said("COPIED_ROWS"),
        "rowsestimated": said("ESTIMATED_ROWS"),
        "old_table": said("OLD_TABLE_NAME"),
        "at": f"{time.time():.3f}",
    }


def escape(value: str) -> str:
    """Return a value as it may stand in a query."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    return "".join(
        chr(byte) if chr(byte) in safe else f"%{byte:02X}" for byte in value.encode("utf-8")
    )


def call_back(callback: dict[str, str], values: dict[str, str]) -> None:
    """Tell the daemon, once; by hand, since http.client takes longer to load than all the rest."""
    address, _, path = callback["url"].removeprefix("http://").partition("/")
    host, _, port = address.rpartition(":")
    names = ("status", "dryrun", "progress", "eta", "rowscopied")
    query = "&".join(f"{name}={escape(values[name])}" for name in names)
    request = (
        f"GET /{path}?uuid={escape(callback['uuid'])}&{query} HTTP/1.0\r\n"
        f"Host: {address}\r\nAuthorization: Bearer {callback['token']}\r\n\r\n"
    )
    deadline = time.monotonic() + CALLBACK_SECONDS_MAX
    with socket.create_connection((host, int(port)), timeout=CALLBACK_SECONDS_MAX) as connection:
        connection.sendall(request.encode("ascii"))
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(4096):
                return


def main(event: str) -> int:
    """Report one event."""
    directory = os.path.dirname(os.path.abspath(__file__))
    values = report(event)
    with contextlib.suppress(Exception):
        write_values(os.path.join(directory, f"report.{event}"), values)
    with contextlib.suppress(Exception):
        callback = read_values(os.path.join(directory, "callback"))
        if callback.get("url"):
            call_back(callback, values)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
