"""The same client for scripts without asyncio: `with tabletd_client.sync.connect(...) as client`.

Each method of `Client` is here under the same name and blocks until it is done. A thread of its own
runs the event loop; one client may be used by several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from tabletd_client.client import Client
from tabletd_client.connection import PasswordCredentials, TlsOptions
from tabletd_client.errors import TabletdClientError
from tabletd_client.models import Event

_P = ParamSpec("_P")
_T = TypeVar("_T")


def connect(
    address: str,
    *,
    tls: TlsOptions | None = None,
    credentials: PasswordCredentials | None = None,
    caller: str = "",
    timeout_seconds: float = 30.0,
) -> SyncClient:
    """Return a client of the daemon at an address; arguments as of `tabletd_client.connect`."""
    return SyncClient(
        address, tls=tls, credentials=credentials, caller=caller, timeout_seconds=timeout_seconds
    )


def _blocking(
    method: Callable[Concatenate[Client, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[SyncClient, _P], _T]:
    @wraps(method)
    def call(self: SyncClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self.run(method(self.client, *args, **kwargs))

    return call


class SyncClient:
    """The methods of `tabletd_client.Client`, each blocking until it is done; see `connect`.

    Attributes:
        client: the asynchronous client; it belongs to the thread's loop.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: TlsOptions | None = None,
        credentials: PasswordCredentials | None = None,
        caller: str = "",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tabletd_client", daemon=True
        )
        self._thread.start()

        async def build() -> Client:
            return Client(
                address,
                tls=tls,
                credentials=credentials,
                caller=caller,
                timeout_seconds=timeout_seconds,
            )

        self.client = self.run(build())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop.is_closed():
            return
        self.run(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    keyspaces = _blocking(Client.keyspaces)
    shards = _blocking(Client.shards)
    tablets = _blocking(Client.tablets)
    lag = _blocking(Client.lag)
    apply = _blocking(Client.apply)
    revert = _blocking(Client.revert)
    show = _blocking(Client.show)
    wait = _blocking(Client.wait)
    cancel = _blocking(Client.cancel)
    retry = _blocking(Client.retry)
    launch = _blocking(Client.launch)
    complete = _blocking(Client.complete)
    postpone = _blocking(Client.postpone)
    force_cutover = _blocking(Client.force_cutover)
    cleanup = _blocking(Client.cleanup)
    throttle = _blocking(Client.throttle)
    unthrottle = _blocking(Client.unthrottle)
    explain = _blocking(Client.explain)
    logs = _blocking(Client.logs)
    leftovers = _blocking(Client.leftovers)

    @contextmanager
    def watch(
        self,
        keyspace: str,
        *,
        uuids: Sequence[str] = (),
        context: str = "",
        pending_only: bool = False,
    ) -> Generator[Iterator[Event]]:
        """Watch migrations: `with client.watch(...) as events: for event in events`.

        Arguments and events are those of `Client.watch`.
        """
        events: asyncio.Queue[Event | TabletdClientError] = asyncio.Queue(1)

        async def pump() -> None:
            try:
                async with self.client.watch(
                    keyspace, uuids=uuids, context=context, pending_only=pending_only
                ) as watched:
                    async for event in watched:
                        await events.put(event)
            except TabletdClientError as error:
                await events.put(error)

        def stream() -> Iterator[Event]:
            while True:
                event = self.run(events.get())
                if isinstance(event, TabletdClientError):
                    raise event
                yield event

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(pump(), name="watch")

        async def end(pumping: asyncio.Task[None]) -> None:
            pumping.cancel()
            await asyncio.wait([pumping])

        pumping = self.run(begin())
        try:
            yield stream()
        finally:
            self.run(end(pumping))

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the client's loop and return its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
