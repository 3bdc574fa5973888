"""How the tools report to the daemon: hook programs, their report files, the callback's token.

A hook first writes its report into the run's private directory, then tries the callback
`/schema-migration/report-status` once, for at most 2 s, and never fails the tool. So nothing is
lost when the daemon is away: it reads the files when it is back.

Files in the private directory:

- `callback`: url, uuid and token of the callback, as `name=value` lines; read for each report.
- `report.<event>`: the latest report of each event, as `name=value` lines.
- `hold`: while it is there, the tool waits before it swaps the tables.
- `swap`: `lock_wait_seconds` for the plugin's swap, as a `name=value` line.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tabletd.executor import hook_program

REPORT_PATH: Final = "/schema-migration/report-status"
THROTTLE_PATH: Final = "/throttler/check"
GH_OST_EVENTS: Final = (
    "startup",
    "before-row-copy",
    "status",
    "row-copy-complete",
    "before-cut-over",
    "begin-postponed",
    "success",
    "failure",
)
_PLUGIN_SOURCE: Final = Path(__file__).with_name("pt_osc_plugin.pm")


@dataclass(frozen=True, slots=True)
class Callback:
    """Where a run's hooks report to.

    Attributes:
        url: the daemon's own address, `http://127.0.0.1:15100`; empty: hooks only write files and
            the tool is not throttled.
        migration_uuid: whose hooks they are.
        app: what the throttler knows the tool by.
        token: the secret that the daemon knows the run by.
    """

    url: str
    migration_uuid: str
    app: str
    token: str = field(repr=False)

    @property
    def report_url(self) -> str:
        """Where hooks report."""
        return f"{self.url}{REPORT_PATH}" if self.url else ""

    @property
    def throttle_url(self) -> str:
        """What the tool asks whether it may go on."""
        if not self.url:
            return ""
        return f"{self.url}{THROTTLE_PATH}?app={throttler_app(self.app, self.migration_uuid)}&p=low"


@dataclass(frozen=True, slots=True)
class Report:
    """What a hook said.

    Attributes:
        event: gh-ost's hook name without `gh-ost-on-`, or the plugin's method.
        status: running, complete or failed.
        dry_run: whether it speaks of a dry run.
        rows_copied: rows copied so far, 0 where it does not know.
        old_table: where the former table is (to be) kept, empty where it does not know.
        throttle_reason: why the tool waits, empty when it does not.
    """

    event: str
    status: str
    dry_run: bool
    rows_copied: int = 0
    old_table: str = ""
    throttle_reason: str = ""


def throttler_app(tool: str, migration_uuid: str) -> str:
    """Return what the throttler knows a tool at work for a migration by."""
    return f"online-ddl:{tool}:{migration_uuid}"


def new_token() -> str:
    """Return a secret for the callback of one run."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Return what the row keeps of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_matches(stored_hash: str, token: str | None) -> bool:
    """Say whether a caller knows the token behind a hash; an empty hash matches nothing."""
    if not stored_hash or not token:
        return False
    return hmac.compare_digest(stored_hash, token_hash(token))


def write_gh_ost_hooks(directory: Path, callback: Callback) -> None:
    """Write the hook programs for `--hooks-path`: one small script under each hook's name."""
    write_callback(directory, callback)
    program = directory / "hook_program.py"
    program.write_bytes(Path(hook_program.__file__).read_bytes())
    program.chmod(0o600)
    for event in GH_OST_EVENTS:
        hook = directory / f"gh-ost-on-{event}"
        command = shlex.join([sys.executable, "-I", "-S", str(program), event])
        hook.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
        hook.chmod(0o700)


def write_pt_osc_plugin(directory: Path, callback: Callback) -> None:
    """Write the plugin for `--plugin`."""
    write_callback(directory, callback)
    plugin = directory / "pt_osc_plugin.pm"
    plugin.write_bytes(_PLUGIN_SOURCE.read_bytes())
    plugin.chmod(0o600)


def write_swap(directory: Path, lock_wait_seconds: int) -> None:
    """Say how long the plugin's swap may wait for the table's lock; 0: the tool's default."""
    hook_program.write_values(
        str(directory / "swap"), {"lock_wait_seconds": str(lock_wait_seconds)}
    )


def read_reports(directory: Path) -> dict[str, Report]:
    """Read the latest report of each event; empty when the directory is gone."""
    reports: dict[str, Report] = {}
    for path in directory.glob("report.*"):
        if path.suffix == ".tmp":
            continue
        report = parse_report(hook_program.read_values(str(path)))
        reports[report.event] = report
    return reports


def parse_report(values: Mapping[str, str]) -> Report:
    """Make a report of what a hook wrote; what is not a number counts as 0."""
    rows = values.get("rowscopied", "")
    return Report(
        event=values.get("event", ""),
        status=values.get("status", "running"),
        dry_run=values.get("dryrun") == "true",
        rows_copied=int(rows) if rows.isascii() and rows.isdigit() else 0,
        old_table=values.get("old_table", ""),
        throttle_reason=values.get("throttled", ""),
    )


def read_callback(directory: Path, app: str) -> Callback | None:
    """Read where the hooks in a directory report to; None when that was not written."""
    try:
        values = hook_program.read_values(str(directory / "callback"))
    except OSError:
        return None
    url = values.get("url", "").removesuffix(REPORT_PATH)
    return Callback(url, values.get("uuid", ""), app, values.get("token", ""))


def write_callback(directory: Path, callback: Callback) -> None:
    """Write where the hooks in a directory report to; they read it each time."""
    hook_program.write_values(
        str(directory / "callback"),
        {
            "url": callback.report_url,
            "throttle_url": callback.throttle_url,
            "uuid": callback.migration_uuid,
            "token": callback.token,
        },
    )
