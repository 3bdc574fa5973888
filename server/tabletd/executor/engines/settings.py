"""What the engines need to know of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.errors import LeaseNotHeld

DOUBT_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True)
class EngineSettings:
    """Where tools are, where runs live, how tools reach the server and the daemon.

    Attributes:
        tablet_alias: part of the names of private directories.
        run_directory: private directories are made in it; made with mode 0700 when missing.
        log_directory: logs are kept in it; made with mode 0700 when missing.
        gh_ost_path: the gh-ost binary.
        pt_osc_path: the pt-online-schema-change program.
        callback_url: gives the daemon's own HTTP address (`http://127.0.0.1:15100`), asked when a
            run begins; an empty one means neither callbacks nor throttling.
        allow_unsafe_cutover: the operator takes the risk of lost writes where gh-ost cannot prove
            its cut-over.
        migration_user: the account that all tools work under; empty: one is made for each run.
        migration_password: gives its password, asked when a run begins.
        account_host: host part of accounts that are made; empty: from the way tools connect.
        tool_host: address that tools connect to; empty: that of the pool, over loopback where the
            pool uses a socket.
        stop_grace_seconds: how long a tool may take to end by SIGTERM.
        hang_seconds: how long a tool may stand still, with no statement under way, once it may
            hang; more than the 64 s that gh-ost may rest between two attempts to cut over.
        progress_interval_seconds: how often progress is written in a run's first two minutes.
        gh_ost_hooks_interval_seconds: gh-ost's `--hooks-status-interval`.
        retain_artifacts_seconds: gives how long dropped tables are kept, where a row does not say.
        probe_seconds: how long one question about a table's rows may take before a run; 0: none
            is asked.
        verify: compare all rows before the tables are swapped, where a migration does not say.
        verify_load: which part of the time that keeps the server busy.
        check_lease: raises LeaseNotHeld when this daemon may not act for its server.
    """

    tablet_alias: str
    run_directory: Path
    log_directory: Path
    gh_ost_path: str
    pt_osc_path: str
    callback_url: Callable[[], str]
    allow_unsafe_cutover: bool = False
    migration_user: str = ""
    migration_password: Callable[[], str] = lambda: ""
    account_host: str = ""
    tool_host: str = ""
    stop_grace_seconds: float = 10.0
    hang_seconds: float = 75.0
    progress_interval_seconds: float = 1.0
    gh_ost_hooks_interval_seconds: int = 5
    retain_artifacts_seconds: Callable[[], float] = lambda: 24 * 3600.0
    probe_seconds: float = 60.0
    verify: bool = True
    verify_load: float = 1.0
    check_lease: Callable[[], object] = lambda: None

    async def confirm_lease(self) -> None:
        """Return when this daemon may act for its server; a doubt about it is waited out.

        Called right before what no statement fences: starting or ending a tool, removing a file.

        Raises:
            LeaseNotHeld: it may not act.
        """
        while True:
            try:
                self.check_lease()
                return
            except LeaseNotHeld as error:
                if not error.is_in_doubt:
                    raise
            await asyncio.sleep(DOUBT_PAUSE_SECONDS)
