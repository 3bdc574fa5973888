"""One call to each of several tablets, some at a time, and what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tabletd.errors import TabletdError
from tabletd.topology import TabletPlace, Topology

CONCURRENCY_MAX: Final = 32

T = TypeVar("T")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of each call.

    Attributes:
        answers: by shard or alias, in the order asked.
        errors: of those without an answer.
    """

    answers: Mapping[str, T]
    errors: Mapping[str, TabletdError]

    def all_or_raise(self, what: str) -> Mapping[str, T]:
        """Return the answers when each was given.

        Args:
            what: begins the text of the error: `OnlineDDL cancel`.

        Raises:
            TabletdError: with the reason of the first that failed; its text says per shard what
                failed, and which shards have done it.
        """
        if self.errors:
            raise joined_error(what, self.errors, self.answers)
        return self.answers


def joined_error(
    what: str, errors: Mapping[str, TabletdError], done: Iterable[str]
) -> TabletdError:
    """Return the errors of several shards as one."""
    first = next(iter(errors.values()))
    names_by_text: dict[str, list[str]] = {}
    for name, error in errors.items():
        names_by_text.setdefault(str(error), []).append(name)
    failed = "; ".join(f"{', '.join(names)}: {text}" for text, names in names_by_text.items())
    others = ", ".join(done)
    return TabletdError(
        first.reason,
        f"{what} failed on {failed}",
        hint=f"done on {others}" if others else None,
        **{**first.facts, "failed": ",".join(errors)},
    )


class FanOut:
    """Calls tablets side by side.

    Args:
        topology: who is the primary.
        concurrency_max: calls at the same time for one request.
    """

    def __init__(self, topology: Topology, *, concurrency_max: int = CONCURRENCY_MAX) -> None:
        self._topology = topology
        self._concurrency_max = concurrency_max

    async def primaries(self, keyspace: str) -> dict[str, TabletPlace]:
        """Return the primary of each shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND; NO_PRIMARY, naming the shards.
        """
        outcome = await self._each(
            {shard: shard for shard in self._topology.layout.shards(keyspace)},
            lambda shard: self._topology.wait_for_primary(keyspace, shard),
        )
        if outcome.errors:
            raise joined_error("finding the primary", outcome.errors, done=())
        return dict(outcome.answers)

    async def each(
        self,
        tablets: Mapping[str, TabletPlace],
        call: Callable[[TabletPlace], Awaitable[T]],
        *,
        concurrency_max: int = 0,
    ) -> Outcome[T]:
        """Call each tablet; an expected failure of one does not stop the others.

        Args:
            tablets: by shard or alias.
            call: what is done with each.
            concurrency_max: calls at the same time; 0: as many as usual.
        """
        return await self._each(tablets, call, concurrency_max)

    async def _each(
        self,
        items: Mapping[str, _Item],
        call: Callable[[_Item], Awaitable[T]],
        concurrency_max: int = 0,
    ) -> Outcome[T]:
        answers: dict[str, T] = {}
        errors: dict[str, TabletdError] = {}
        slots = asyncio.Semaphore(concurrency_max or self._concurrency_max)

        async def one(name: str, item: _Item) -> None:
            try:
                async with slots:
                    answers[name] = await call(item)
            except TabletdError as error:
                errors[name] = error

        async with asyncio.TaskGroup() as tasks:
            for name, item in items.items():
                tasks.create_task(one(name, item), name=f"call {name}")
        return Outcome(
            {name: answers[name] for name in items if name in answers},
            {name: errors[name] for name in items if name in errors},
        )
