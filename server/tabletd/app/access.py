"""Who may call, by the configuration: what is refused at the start, and the ports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tabletd.access.access import Access, AccessSettings
from tabletd.access.addresses import is_loopback
from tabletd.access.peers import Peers, PeerSettings
from tabletd.access.roles import parse_name_roles, parse_role
from tabletd.access.tls import TlsFiles
from tabletd.app.queue import state_directory
from tabletd.config import Config
from tabletd.errors import Reason, TabletdError
from tabletd.servicers.server import Listener
from tabletd.telemetry.vars import Registry

OPEN_PAGES: Final = ("health", "metrics")


def access_settings(config: Config) -> AccessSettings:
    """Return who may call.

    Raises:
        TabletdError: INVALID_CONFIG, the settings do not go together, or would let everybody in.
    """
    settings = AccessSettings(
        mode=config.grpc_auth_mode,
        tls=_tls_files(config),
        users=config.grpc_auth_static_password_file,
        allowed_substrings=config.grpc_auth_mtls_allowed_substrings,
        certificate_roles=parse_name_roles(config.grpc_auth_mtls_roles),
        default_role=parse_role(config.grpc_auth_default_role),
    )
    for find in (_problems, _calls, _exposures):
        for problem in find(config, settings):
            raise problem
    return settings


def peer_settings(config: Config) -> PeerSettings:
    """Return how other daemons are called."""
    return PeerSettings(
        ca=config.tablet_manager_grpc_ca,
        cert=config.tablet_manager_grpc_cert,
        key=config.tablet_manager_grpc_key,
        server_name=config.tablet_manager_grpc_server_name,
        credentials=config.grpc_auth_static_client_creds,
    )


def check_access(config: Config) -> None:
    """Read everything that the settings about access name.

    Raises:
        TabletdError: INVALID_CONFIG.
    """
    Access(access_settings(config), Registry())
    Peers(peer_settings(config))


def listeners(config: Config, access: Access) -> list[Listener]:
    """Return the gRPC ports, that of `grpc_port` first."""
    host, tls = config.grpc_bind, access.tls
    main = None
    if tls is not None:
        main = tls.credentials(ask_certificate=config.grpc_ca is not None)
    found = [Listener(host, config.grpc_port, main)]
    if tls is not None and config.grpc_password_port is not None:
        by_password = tls.credentials(ask_certificate=False)
        found.append(Listener(host, config.grpc_password_port, by_password, "grpc_password_port"))
    if config.grpc_plain_port is not None:
        found.append(Listener(host, config.grpc_plain_port, None, "grpc_plain_port"))
    return found


def _tls_files(config: Config) -> TlsFiles | None:
    if config.grpc_cert is None or config.grpc_key is None:
        return None
    return TlsFiles(
        cert=config.grpc_cert,
        key=config.grpc_key,
        ca=config.grpc_ca,
        server_ca=config.grpc_server_ca,
        crl=config.grpc_crl,
    )


def _problems(config: Config, settings: AccessSettings) -> Iterable[TabletdError]:
    """Find settings that need others."""
    yield from _needs("grpc_cert", "grpc_key", config.grpc_cert, config.grpc_key)
    yield from _needs("grpc_key", "grpc_cert", config.grpc_key, config.grpc_cert)
    for key in ("grpc_ca", "grpc_server_ca"):
        yield from _needs(key, "grpc_cert and grpc_key", getattr(config, key), settings.tls)
    yield from _needs("grpc_crl", "grpc_ca", config.grpc_crl, config.grpc_ca)
    users, mode = settings.users, settings.mode
    yield from _needs(
        "grpc_auth_mode static", "grpc_auth_static_password_file", mode == "static", users
    )
    yield from _needs("grpc_auth_mode mtls", "grpc_ca", mode == "mtls", config.grpc_ca)
    yield from _needs(
        "grpc_auth_static_password_file",
        "grpc_auth_mode static, or grpc_ca and grpc_password_port",
        users,
        mode or config.grpc_ca,
    )
    by_name = config.grpc_auth_mtls_roles or config.grpc_auth_mtls_allowed_substrings
    yield from _needs("grpc_auth_mtls_*", "grpc_ca", by_name, config.grpc_ca)
    yield from _needs(
        "grpc_enable_optional_tls",
        "grpc_plain_port: gRPC here takes no plain text on a port with TLS",
        config.grpc_enable_optional_tls,
        config.grpc_plain_port is not None,
    )
    for key in ("grpc_plain_port", "grpc_password_port"):
        is_set = getattr(config, key) is not None
        yield from _needs(key, "grpc_cert and grpc_key: without them", is_set, settings.tls)
        yield from _needs(
            key, "grpc_auth_static_password_file", is_set and not settings.is_open, users
        )
    unknown = set(config.http_open_pages) - set(OPEN_PAGES)
    if unknown:
        yield _wrong("http_open_pages", f"knows {' and '.join(OPEN_PAGES)}, not {min(unknown)!r}")


def _calls(config: Config, settings: AccessSettings) -> Iterable[TabletdError]:
    """Find what hinders our own calls: a daemon hears its own health like that of the others."""
    why = ": the daemon calls itself and others"
    yield from _needs(
        "grpc_auth_mode static",
        f"grpc_auth_static_client_creds{why}",
        settings.mode == "static",
        config.grpc_auth_static_client_creds,
    )
    yield from _needs(
        "grpc_ca",
        f"tablet_manager_grpc_cert and _key{why}",
        config.grpc_ca,
        config.tablet_manager_grpc_cert,
    )
    yield from _needs(
        "grpc_cert",
        f"tablet_manager_grpc_ca{why}",
        settings.tls,
        config.tablet_manager_grpc_ca,
    )


def _needs(key: str, other: str, is_set: object, is_there: object) -> Iterable[TabletdError]:
    if is_set and not is_there:
        yield _wrong(key, f"needs {other}")


def _exposures(config: Config, settings: AccessSettings) -> Iterable[TabletdError]:
    """Find ports that would let everybody do everything."""
    if config.insecure_listen:
        return
    if settings.is_open and not is_loopback(config.grpc_bind):
        yield _open("grpc_bind", config.grpc_bind, "change any table")
    is_closed = settings.users is not None or config.http_open_pages
    if not is_closed and not is_loopback(config.http_bind):
        yield _open("http_bind", config.http_bind, "read every page")


def _open(key: str, host: str, harm: str) -> TabletdError:
    remedy = (
        "set grpc_auth_mode, or grpc_cert, grpc_key and grpc_ca"
        if key == "grpc_bind"
        else "set grpc_auth_static_password_file, or http_open_pages for health and metrics alone"
    )
    return TabletdError(
        Reason.INVALID_CONFIG,
        f"{key}: at {host} everybody who reaches it could {harm}, since no credentials are "
        "configured",
        hint=f"{remedy}; or listen on 127.0.0.1; or insist with --insecure-listen",
        key=key,
    )


def _wrong(key: str, what: str) -> TabletdError:
    return TabletdError(Reason.INVALID_CONFIG, f"{key} {what}", key=key)


def audit_path(config: Config) -> Path:
    """Return where calls that change something are noted down."""
    return config.audit_log or state_directory(config) / "audit.log"
