"""`vtctlservice.Vtctl`: the commands of v8 to v17 clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from tabletd.vtctld.commands import Commands
from tabletd.vtctld.schema_migration import now
from tabletd_pb import logutil_pb2, vtctldata_pb2
from tabletd_pb.vtctlservice_pb2_grpc import VtctlServicer

_Context = grpc.aio.ServicerContext[Any, Any]


class VtctlService(VtctlServicer):
    """Hands the words on, and the text back.

    Args:
        commands: carries them out.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def ExecuteVtctlCommand(
        self, request: vtctldata_pb2.ExecuteVtctlCommandRequest, context: _Context
    ) -> AsyncIterator[vtctldata_pb2.ExecuteVtctlCommandResponse]:
        text = await self._commands.run(request.args)
        if text:
            # The client prints an event of this level as it is.
            event = logutil_pb2.Event(time=now(), level=logutil_pb2.CONSOLE, value=text)
            yield vtctldata_pb2.ExecuteVtctlCommandResponse(event=event)
