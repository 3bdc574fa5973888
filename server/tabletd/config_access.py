"""The settings about who may call: TLS, credentials, roles, and what is open to everybody.

Names are Vitess's where Vitess has the setting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from tabletd.config_values import Kind, Names, Port, Why


def _split_substrings(value: object) -> object:
    """Vitess separates them by colons, since a certificate's name may have commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(":") if part.strip())
    return value


class AccessConfig(BaseModel):
    """These settings, as a part of `Config`."""

    grpc_cert: Annotated[Path | None, Why("nobody on the way can read or change a call then")] = (
        Field(None, description="PEM file: our certificate; turns TLS on.")
    )
    grpc_key: Annotated[Path | None, Why("a certificate proves nothing without its key")] = Field(
        None, description="PEM file: the key of grpc_cert."
    )
    grpc_ca: Annotated[
        Path | None, Why("a certificate of a known authority cannot be guessed as a password can")
    ] = Field(
        None,
        description="PEM file: authorities of clients; every client must show a certificate then.",
    )
    grpc_server_ca: Annotated[
        Path | None, Why("clients that know the root alone cannot check the certificate otherwise")
    ] = Field(None, description="PEM file: authorities between grpc_cert and a root, sent along.")
    grpc_crl: Annotated[
        Path | None, Why("a certificate that was lost must be refused before it expires")
    ] = Field(None, description="PEM file: revocation lists of the authorities in grpc_ca.")
    grpc_enable_optional_tls: Annotated[
        bool, Why("only for the time in which clients go over to TLS")
    ] = Field(False, description="Take calls without TLS as well; they need grpc_plain_port.")
    grpc_plain_port: Annotated[Port | None, Why("gRPC for Python cannot take both on one port")] = (
        Field(None, description="Further gRPC port without TLS; callers give a password there.")
    )
    grpc_password_port: Annotated[
        Port | None, Why("gRPC for Python asks for a certificate on a port always or never")
    ] = Field(
        None,
        description="Further gRPC port with TLS that asks for a password in place of a "
        "certificate, beside grpc_ca.",
    )
    grpc_auth_mode: Annotated[
        Literal["", "static", "mtls"],
        Why("on loopback none is needed; elsewhere a port is refused without one"),
    ] = Field("", description="How callers show who they are: by a password, or by a certificate.")
    grpc_auth_static_password_file: Annotated[
        Path | None, Why("callers without certificates, such as Vitess's own clients, have this")
    ] = Field(None, description="JSON file: who may call, see `tabletd password`.")
    grpc_auth_mtls_allowed_substrings: Annotated[
        tuple[str, ...],
        BeforeValidator(_split_substrings),
        Kind("list, colons between"),
        Why("an authority may have signed for others than our callers"),
    ] = Field(
        (), description="Certificates whose subject has one of these may call, colon-separated."
    )
    grpc_auth_mtls_roles: Annotated[Names, Why("certificates carry names, but no rights")] = Field(
        (),
        description="Roles by the name in a certificate (*.ops.example=operator), comma-separated.",
    )
    grpc_auth_default_role: Annotated[
        Literal["reader", "operator", "admin"], Why("who is given nothing may change nothing")
    ] = Field("reader", description="Role of callers that none is given to by name.")
    insecure_listen: Annotated[bool, Why("who reaches a port could rewrite any table")] = Field(
        False, description="Let everybody who reaches a port do everything; without it refused."
    )
    http_open_pages: Annotated[
        Names, Why("monitoring and load balancers often cannot give a password")
    ] = Field(
        (),
        description="Pages that other machines may read without a password (health, metrics).",
    )
    audit_log: Annotated[
        Path | None, Why("who changed what is asked long after the log was rotated")
    ] = Field(
        None, description="Where calls that change something are noted; default: beside the runs."
    )
    tablet_manager_grpc_ca: Annotated[
        Path | None, Why("who stands in for another daemon could tell us any lag")
    ] = Field(None, description="PEM file: authorities of the other daemons; turns TLS to them on.")
    tablet_manager_grpc_cert: Annotated[
        Path | None, Why("daemons with grpc_ca let nobody in without one")
    ] = Field(None, description="PEM file: the certificate that we show to the other daemons.")
    tablet_manager_grpc_key: Annotated[
        Path | None, Why("a certificate proves nothing without its key")
    ] = Field(None, description="PEM file: the key of tablet_manager_grpc_cert.")
    tablet_manager_grpc_server_name: Annotated[
        str, Why("addresses of the topology may be none that a certificate names")
    ] = Field("", description="Name in the other daemons' certificates; default: the host's.")
    grpc_auth_static_client_creds: Annotated[
        Path | None, Why("daemons that ask for a password ask each other too")
    ] = Field(
        None, description='JSON file: {"Username": "...", "Password": "..."} for other daemons.'
    )
