"""A client of tabletd: schema migrations submitted, watched and steered.

    async with tabletd_client.connect("127.0.0.1:16100") as client:
        submission = await client.apply("commerce", "ALTER TABLE ...", strategy="gh-ost")
        for migration in await client.wait("commerce", submission.uuids):
            print(migration.shard, migration.status)

For scripts without asyncio there is the same in `tabletd_client.sync`. Needs grpcio and protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tabletd_client.arguments import ALL
    from tabletd_client.client import Client, connect
    from tabletd_client.connection import PasswordCredentials, TlsOptions
    from tabletd_client.errors import Reason, TabletdClientError
    from tabletd_client.leftovers import Leftover, LeftoverKind, TabletLeftovers
    from tabletd_client.models import (
        Affected,
        Changed,
        Disconnected,
        EtaState,
        Event,
        LagMethod,
        LagPoint,
        LagState,
        Lock,
        Migration,
        MigrationLog,
        Order,
        Plan,
        Refusal,
        Removed,
        Status,
        Submission,
        Tablet,
        TabletLag,
        UpToDate,
        Way,
    )

__all__ = [
    "ALL",
    "Affected",
    "Changed",
    "Client",
    "Disconnected",
    "EtaState",
    "Event",
    "LagMethod",
    "LagPoint",
    "LagState",
    "Leftover",
    "LeftoverKind",
    "Lock",
    "Migration",
    "MigrationLog",
    "Order",
    "PasswordCredentials",
    "Plan",
    "Reason",
    "Refusal",
    "Removed",
    "Status",
    "Submission",
    "Tablet",
    "TabletLag",
    "TabletLeftovers",
    "TabletdClientError",
    "TlsOptions",
    "UpToDate",
    "Way",
    "connect",
]

# Loaded when first used: the command must not wait for gRPC to show its help.
_MODULES: Final[Mapping[str, str]] = {
    "ALL": "arguments",
    "Client": "client",
    "connect": "client",
    "PasswordCredentials": "connection",
    "TlsOptions": "connection",
    "Reason": "errors",
    "TabletdClientError": "errors",
    "Leftover": "leftovers",
    "LeftoverKind": "leftovers",
    "TabletLeftovers": "leftovers",
    "Affected": "models",
    "Changed": "models",
    "Disconnected": "models",
    "EtaState": "models",
    "Event": "models",
    "LagMethod": "models",
    "LagPoint": "models",
    "LagState": "models",
    "Lock": "models",
    "Migration": "models",
    "MigrationLog": "models",
    "Order": "models",
    "Plan": "models",
    "Refusal": "models",
    "Removed": "models",
    "Status": "models",
    "Submission": "models",
    "Tablet": "models",
    "TabletLag": "models",
    "UpToDate": "models",
    "Way": "models",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
