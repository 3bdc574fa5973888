"""`tabletd.v1.Migrations`: live news of migrations, what one would do, and what they left."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio

from tabletd.executor.explain import Explainer
from tabletd.executor.watch import Changed, News, Watch
from tabletd.servicers.convert_leftovers import leftover_to_proto
from tabletd.servicers.convert_migration import explanation_to_proto, news_to_proto, wish_from_proto
from tabletd.servicers.ports import Sweeping
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb.migrations_pb2_grpc import MigrationsServicer

_Context = grpc.aio.ServicerContext[Any, Any]
# As many as a long queue has: a new watcher is told of all of them.
_CONVERTED_MAX: Final = 2_048


class Migrations(MigrationsServicer):
    """Sends what the watch, the explainer and the sweeper tell.

    Args:
        watch: the news.
        explainer: says what a statement would do.
        sweeper: finds and removes what migrations left.
    """

    def __init__(self, *, watch: Watch, explainer: Explainer, sweeper: Sweeping) -> None:
        self._watch = watch
        self._explainer = explainer
        self._sweeper = sweeper
        self._converted: OrderedDict[int, pb.WatchResponse] = OrderedDict()

    async def Watch(
        self, request: pb.WatchRequest, context: _Context
    ) -> AsyncIterator[pb.WatchResponse]:
        async with self._watch.subscribe(wish_from_proto(request)) as subscription:
            async for news in subscription:
                yield self._to_proto(news)

    async def Explain(self, request: pb.ExplainRequest, context: _Context) -> pb.ExplainResponse:
        found = await self._explainer.explain(
            request.statement, request.ddl_strategy, request.migration_context
        )
        return pb.ExplainResponse(plans=[explanation_to_proto(one) for one in found])

    async def ListLeftovers(
        self, request: pb.ListLeftoversRequest, context: _Context
    ) -> pb.ListLeftoversResponse:
        found = await self._sweeper.find()
        return pb.ListLeftoversResponse(leftovers=[leftover_to_proto(one) for one in found])

    async def FixLeftovers(
        self, request: pb.FixLeftoversRequest, context: _Context
    ) -> pb.FixLeftoversResponse:
        swept, left_alone = await self._sweeper.sweep()
        stays = [leftover_to_proto(one.leftover, one.failure) for one in swept if one.failure]
        return pb.FixLeftoversResponse(
            removed=[leftover_to_proto(one.leftover) for one in swept if not one.failure],
            left=[*stays, *(leftover_to_proto(one) for one in left_alone)],
        )

    def _to_proto(self, news: News) -> pb.WatchResponse:
        """Convert news once for all who watch."""
        if not isinstance(news, Changed):
            return news_to_proto(news, self._watch.series)
        response = self._converted.get(news.sequence)
        if response is None:
            response = self._converted[news.sequence] = news_to_proto(news, self._watch.series)
            if len(self._converted) > _CONVERTED_MAX:
                self._converted.popitem(last=False)
        return response
