"""The throttler's rules on every tablet of a shard, by calls, not by replication.

The primary tells them to the others as soon as they change, and every few seconds it looks who has
others than it, so that a tablet that was away catches up. Another tablet also asks the primary by
itself: the primary may not know of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tabletd.errors import TabletdError
from tabletd.loops import pause
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.tablets import TabletClients
from tabletd_pb import throttling_pb2 as pb

PERIOD_SECONDS: Final = 5.0
# Somebody did not answer, or the primary is not known yet.
RETRY_SECONDS: Final = 1.0
_CALL_SECONDS_MAX: Final = 1.0

_logger = logging.getLogger(__name__)


class RuleSync:
    """Tells them, or asks for them, by the role of this tablet.

    Args:
        topology: who is there.
        clients: connections to them.
        own: this tablet.
        is_primary: whether it keeps the rules of its shard.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        clients: TabletClients,
        own: TabletPlace,
        is_primary: Callable[[], bool],
    ) -> None:
        self._topology = topology
        self._clients = clients
        self._own = own
        self._is_primary = is_primary
        self._wake = asyncio.Event()
        self._failed: frozenset[str] = frozenset()

    def wake(self) -> None:
        """Somebody has changed a rule: tell it at once."""
        self._wake.set()

    async def run(self) -> None:
        """Tell or ask again and again; never returns."""
        while True:
            self._wake.clear()
            is_done = await self.step()
            await pause(PERIOD_SECONDS if is_done else RETRY_SECONDS, self._wake)

    async def step(self) -> bool:
        """Tell all others once, or ask the primary once; returns whether everybody answered."""
        if self._is_primary():
            return await self._tell()
        return await self._ask()

    async def _tell(self) -> bool:
        stored = await self._stored(self._own)
        failed = set[str]()

        async def tell(tablet: TabletPlace) -> None:
            try:
                if (await self._stored(tablet)).version != stored.version:
                    await self._give(tablet, stored)
            except TabletdError as error:
                failed.add(tablet.alias)
                if tablet.alias not in self._failed:
                    _logger.warning("%s does not take the throttle rules: %s", tablet.alias, error)

        async with asyncio.TaskGroup() as tasks:
            for tablet in self._others():
                tasks.create_task(tell(tablet), name=f"throttle rules to {tablet.alias}")
        self._failed = frozenset(failed)
        return not failed

    async def _ask(self) -> bool:
        others = self._others()
        known = self._topology.primary(self._own.keyspace, self._own.shard) if others else None
        primary = next((one for one in others if known and one.alias == known.alias), None)
        if primary is None:
            return not others
        try:
            await self._give(self._own, await self._stored(primary))
        except TabletdError as error:
            _logger.debug("%s does not tell the throttle rules: %s", primary.alias, error)
            return False
        return True

    def _others(self) -> Sequence[TabletPlace]:
        own = self._own
        return self._topology.layout.neighbours(own.keyspace, own.shard, own.alias)

    async def _stored(self, tablet: TabletPlace) -> pb.GetConfigResponse:
        return await self._clients.call(
            tablet,
            lambda stub: stub.throttling.GetConfig,
            pb.GetConfigRequest(),
            timeout_seconds=_CALL_SECONDS_MAX,
        )

    async def _give(self, tablet: TabletPlace, stored: pb.GetConfigResponse) -> None:
        await self._clients.call(
            tablet,
            lambda stub: stub.throttling.TakeConfig,
            pb.TakeConfigRequest(stored=stored),
            timeout_seconds=_CALL_SECONDS_MAX,
        )
