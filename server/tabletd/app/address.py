"""A host and a port, ours or another's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Where somebody listens.

    Attributes:
        host: name or address; one of IPv6 without brackets.
        port: 0, of ours, takes a free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what a setting of the kind `host:port` says."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local_host(self) -> str:
        """The host by which a program on this machine reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def local_address(self) -> Address:
        """Where a program on this machine reaches it."""
        return Address(self.local_host, self.port)
