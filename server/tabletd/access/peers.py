"""How we call the other daemons: TLS, who we are, and for whom we call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from tabletd.access.caller import ON_BEHALF_KEY, current_text
from tabletd.access.certificates import read_pem, wrong_file
from tabletd.errors import Reason, TabletdError
from tabletd.private_files import read_again, warn_of_open_files

Metadata = tuple[tuple[str, str], ...]

_CREDENTIALS_KEY: Final = "grpc_auth_static_client_creds"
_PREFIX: Final = "tablet_manager_grpc"


@dataclass(frozen=True)
class PeerSettings:
    """How to reach other daemons; see the settings `tablet_manager_grpc_*`.

    Attributes:
        ca: who may vouch for them; with this or with `cert` they are called over TLS.
        cert: what we show.
        key: of `cert`.
        server_name: in their certificates; empty: the host that is called.
        credentials: a JSON object with `Username` and `Password`.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""
    credentials: Path | None = None


@dataclass(frozen=True)
class _Loaded:
    tls: grpc.ChannelCredentials | None
    login: Metadata = field(repr=False)


class Peers:
    """Opens connections to other daemons.

    Args:
        settings: how.

    Attributes:
        generation: grows when the files were read again: what was opened before is out of date.

    Raises:
        TabletdError: INVALID_CONFIG, a file cannot be read or is wrong.
    """

    def __init__(self, settings: PeerSettings) -> None:
        self._settings = settings
        self._loaded = _load(settings)
        warn_of_open_files(settings.key, settings.credentials)
        self.generation = 0

    @property
    def paths(self) -> Sequence[Path]:
        """All files."""
        settings = self._settings
        named = (settings.ca, settings.cert, settings.key, settings.credentials)
        return [path for path in named if path is not None]

    def reload(self) -> None:
        """Read the files again.

        Raises:
            TabletdError: INVALID_CONFIG; nothing is changed.
        """
        self._loaded = _load(self._settings)
        self.generation += 1

    def open(self, address: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        """Open a connection to `host:port`."""
        if self._loaded.tls is None:
            return grpc.aio.insecure_channel(address, options=options)
        name = self._settings.server_name
        named = (("grpc.ssl_target_name_override", name),) if name else ()
        return grpc.aio.secure_channel(address, self._loaded.tls, options=(*options, *named))

    def metadata(self) -> Metadata:
        """Return what goes along with a call: who we are, and for whom it is made."""
        caller = current_text().encode("ascii", "backslashreplace").decode("ascii")
        login = self._loaded.login
        return (*login, (ON_BEHALF_KEY, caller)) if caller else login

    @property
    def basic_login(self) -> tuple[str, str] | None:
        """User and password for HTTP; None: there are none, or they travel under TLS alone.

        The pages of a daemon are plain HTTP: what TLS hides from listeners on the way to its gRPC
        port is not said there.
        """
        if self._loaded.tls is not None:
            return None
        login = dict(self._loaded.login)
        return (login["username"], login["password"]) if login else None


def _load(settings: PeerSettings) -> _Loaded:
    if (settings.cert is None) != (settings.key is None):
        raise wrong_file(f"{_PREFIX}_cert", f"it goes together with {_PREFIX}_key")
    ca, cert, key = (
        None if path is None else read_pem(path, f"{_PREFIX}_{name}")
        for name, path in (("ca", settings.ca), ("cert", settings.cert), ("key", settings.key))
    )
    tls = None
    if ca is not None or cert is not None:
        tls = grpc.ssl_channel_credentials(ca, key, cert)
    login = () if settings.credentials is None else _login(settings.credentials)
    return _Loaded(tls, login)


def _login(path: Path) -> Metadata:
    try:
        found = json.loads(read_again(path))
        return (("username", str(found["Username"])), ("password", str(found["Password"])))
    except OSError as error:
        raise wrong_file(_CREDENTIALS_KEY, f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f'{_CREDENTIALS_KEY}: {path} has to hold {{"Username": "...", "Password": "..."}}',
            key=_CREDENTIALS_KEY,
        ) from None


# Without TLS, and as nobody.
PLAIN: Final = Peers(PeerSettings())
