"""One daemon acts for a server at a time: the lease in `_vt.lease`."""

from tabletd.lease.fence import IF_HELD, IF_WRITABLE, Fence, Term, raise_if_over, write
from tabletd.lease.holder import Holder, own_holder
from tabletd.lease.lease import DURATION_SECONDS, Lease

__all__ = [
    "DURATION_SECONDS",
    "IF_HELD",
    "IF_WRITABLE",
    "Fence",
    "Holder",
    "Lease",
    "Term",
    "own_holder",
    "raise_if_over",
    "write",
]
