"""Whether an address is this machine's own alone."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine reach an address that we listen on.

    A name counts as any machine's, but for `localhost`: what it stands for may change.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def peer_address(peer: str) -> str:
    """Return `host:port` of what gRPC calls a peer, such as `ipv4:10.0.0.7:5000`."""
    kind, colon, address = peer.partition(":")
    if not colon or kind not in {"ipv4", "ipv6", "unix"}:
        return peer
    return address.replace("%5B", "[").replace("%5D", "]")
