"""`tabletd.v1.Migrations`: live news of migrations, and what one would do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio

from tabletd.executor.explain import Explainer
from tabletd.executor.watch import Changed, News, Watch
from tabletd.servicers.convert_migration import explanation_to_proto, news_to_proto, wish_from_proto
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb.migrations_pb2_grpc import MigrationsServicer

_Context = grpc.aio.ServicerContext[Any, Any]
_CONVERTED_MAX: Final = 256


class Migrations(MigrationsServicer):
    """Sends what the watch and the explainer tell.

    Args:
        watch: the news.
        explainer: says what a statement would do.
    """

    def __init__(self, *, watch: Watch, explainer: Explainer) -> None:
        self._watch = watch
        self._explainer = explainer
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
