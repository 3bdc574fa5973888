"""Calls as callers see them: over TLS, with passwords and certificates, and what is noted down."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tabletd.access.access import Access, AccessSettings
from tabletd.access.audit import AuditLog
from tabletd.access.roles import parse_name_roles
from tabletd.access.tls import TlsFiles
from tabletd.servicers.guard import Guard
from tabletd.servicers.server import Listener
from tabletd.telemetry.vars import Registry
from tabletd_pb import query_pb2, queryservice_pb2_grpc, vtctldata_pb2, vtrpc_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb.tabletmanagerservice_pb2_grpc import TabletManagerStub
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub
from tests.support.certificates import Authority, Pair, shown_serial_number
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.waiting import eventually

READER = (("username", "rita"), ("password", "r"))
OPERATOR = (("username", "olga"), ("password", "o"))
ADMIN = (("username", "ada"), ("password", "a"))
SELECT = tm.VExecRequest(query="SELECT * FROM _vt.schema_migrations")
UPDATE = tm.VExecRequest(
    query="UPDATE _vt.schema_migrations SET migration_status='cancel-all' WHERE mysql_schema='s'"
)


@dataclass
class Closed:
    """A server that lets in whom it knows.

    Attributes:
        bench: the server, and a channel to its first port.
        access: who is let in.
        audit: the path of the audit log.
        authority: signs for it.
    """

    bench: GrpcBench
    access: Access
    audit: Path
    authority: Authority

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def channel(self, port: int, client: Pair | None = None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.authority.ca.read_bytes(),
            None if client is None else client.key.read_bytes(),
            None if client is None else client.pem,
        )
        options = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options)


@asynccontextmanager
async def closed(
    directory: Path,
    ports: Callable[[Access], list[Listener]] = lambda access: [],
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> AsyncGenerator[Closed]:
    authority = Authority(directory)
    if settings.pop("tls", False):
        server = authority.pair("server")
        settings["tls"] = TlsFiles(server.cert, server.key, ca=authority.ca, crl=authority.revoke())
    if settings.pop("users", True):
        path = directory / "users.json"
        names = (("rita", "r", "reader"), ("olga", "o", "operator"), ("ada", "a", "admin"))
        path.write_text(
            json.dumps([{"Username": u, "Password": p, "Role": r} for u, p, r in names])
        )
        path.chmod(0o600)
        settings["users"] = path
    access = Access(AccessSettings(**settings), Registry())
    audit = directory / "audit" / "audit.log"
    guard = Guard(access, AuditLog(audit, "zone1-0000000100"), clock=clock)
    async with grpc_bench(guard=guard, listeners=ports(access)) as bench:
        yield Closed(bench, access, audit, authority)


async def code(call: Any) -> grpc.StatusCode:
    return (await failure(call)).code()


async def test_who_gives_no_or_a_wrong_password_is_refused_in_vitess_words(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub = TabletManagerStub(server.bench.channel)
        missing = await failure(stub.Ping(tm.PingRequest()))
        assert missing.code() is grpc.StatusCode.UNAUTHENTICATED
        assert missing.details() == "username and password must be provided"
        assert error_info(missing).reason == "UNAUTHENTICATED"
        login = (("username", "rita"), ("password", "wrong"))
        wrong = await failure(stub.Ping(tm.PingRequest(), metadata=login))
        assert wrong.code() is grpc.StatusCode.PERMISSION_DENIED
        assert wrong.details() == 'auth failure: caller "rita" provided invalid credentials'
        answer = await stub.Ping(tm.PingRequest(payload="hello"), metadata=READER)
        assert answer.payload == "hello"


async def test_a_role_that_is_too_low_is_told_which_is_needed(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub = TabletManagerStub(server.bench.channel)
        await stub.VExec(SELECT, metadata=READER)
        refused = await failure(stub.VExec(UPDATE, metadata=READER))
        assert refused.code() is grpc.StatusCode.PERMISSION_DENIED
        text = "VExec needs the role operator, and rita has the role reader"
        assert text in str(refused.details())
        assert error_info(refused).metadata["needed_role"] == "operator"
        asked = tm.ExecuteFetchAsDbaRequest(query=b"DROP TABLE t")
        assert await code(stub.ExecuteFetchAsDba(asked, metadata=OPERATOR)) is (
            grpc.StatusCode.PERMISSION_DENIED
        )
        assert server.bench.admin.asked == []
        await stub.VExec(UPDATE, metadata=OPERATOR)
        await stub.ExecuteFetchAsDba(asked, metadata=ADMIN)


async def test_streams_ask_who_calls_as_well(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub = queryservice_pb2_grpc.QueryStub(server.bench.channel)
        request = query_pb2.StreamHealthRequest()
        refused = stub.StreamHealth(request, timeout=30)
        assert await code(refused.read()) is grpc.StatusCode.UNAUTHENTICATED
        heard = stub.StreamHealth(request, metadata=READER, timeout=30)
        assert await heard.read()
        heard.cancel()


async def test_health_is_free_and_the_list_of_methods_is_not(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        channel: Any = server.bench.channel
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert await health.Check(health_pb2.HealthCheckRequest())
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")

        async def listing(metadata: Any) -> Any:
            call = stub.ServerReflectionInfo(iter([asked]), metadata=metadata, timeout=30)
            return await call.read()

        assert await code(listing(())) is grpc.StatusCode.UNAUTHENTICATED
        answer = await listing(READER)
        assert len(answer.list_services_response.service) > 5


async def test_a_method_that_is_not_offered_asks_who_calls_before_it_says_so(
    tmp_path: Path,
) -> None:
    async with closed(tmp_path, mode="static") as server:
        channel: Any = server.bench.channel
        call = channel.unary_unary("/vtctlservice.Vtctld/Backup")
        assert await code(call(b"")) is grpc.StatusCode.UNAUTHENTICATED
        assert await code(call(b"", metadata=READER)) is grpc.StatusCode.UNIMPLEMENTED


async def test_who_hangs_up_ends_his_call_in_the_guard_too(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub = TabletManagerStub(server.bench.channel)
        hour = tm.SleepRequest(duration=3600 * 10**9)
        call = stub.Sleep(hour, metadata=OPERATOR, timeout=60)
        registry = server.bench.registry
        await eventually(lambda: registry.export()["RpcCallsOpen"] == 1, 30)
        call.cancel()
        await eventually(lambda: registry.export()["RpcCallsOpen"] == 0, 30)
        await eventually(lambda: [note["code"] for note in server.notes()] == ["CANCELLED"], 30)
        late = stub.Sleep(hour, metadata=OPERATOR, timeout=0.5)
        assert await code(late) is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: registry.export()["RpcCallsOpen"] == 0, 30)


async def test_what_changes_something_is_noted_down_and_what_reads_is_not(tmp_path: Path) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub, vtctld = TabletManagerStub(server.bench.channel), VtctldStub(server.bench.channel)
        await stub.Ping(tm.PingRequest(), metadata=READER)
        await stub.VExec(SELECT, metadata=READER)
        await stub.VExec(UPDATE, metadata=OPERATOR)
        await failure(stub.VExec(UPDATE, metadata=READER))
        await failure(stub.ChangeType(tm.ChangeTypeRequest()))
        secret = b"CREATE USER x IDENTIFIED BY 'open sesame'"
        await stub.ExecuteFetchAsDba(tm.ExecuteFetchAsDbaRequest(query=secret), metadata=ADMIN)
        request = vtctldata_pb2.ApplySchemaRequest(
            keyspace="shop",
            sql=["ALTER TABLE t FORCE"],
            caller_id=vtrpc_pb2.CallerID(principal="bob"),
        )
        await failure(vtctld.ApplySchema(request, metadata=OPERATOR))
        notes = server.notes()
        assert [(note["caller"], note["role"], note["code"]) for note in notes] == [
            ("olga", "operator", "OK"),
            ("rita", "reader", "PERMISSION_DENIED"),
            ("anonymous", "reader", "UNAUTHENTICATED"),
            ("ada", "admin", "OK"),
            ("olga", "operator", notes[4]["code"]),
        ]
        assert notes[0]["method"] == "tabletmanagerservice.TabletManager/VExec"
        assert notes[0]["target"] == {"query": UPDATE.query}
        assert notes[0]["peer"].startswith("127.0.0.1:")
        assert (notes[1]["reason"], notes[0]["reason"]) == ("PERMISSION_DENIED", "")
        assert notes[3]["target"]["query"] == "CREATE USER x IDENTIFIED BY '***'"
        assert (notes[4]["effective"], notes[4]["target"]["keyspace"]) == ("bob", "shop")
        assert notes[4]["target"]["sql"] == ["ALTER TABLE t FORCE"]
        assert server.audit.stat().st_mode & 0o777 == 0o600
        assert all(word not in server.audit.read_text() for word in ("sesame", '"password"'))


async def test_who_is_not_let_in_does_not_fill_the_disk(tmp_path: Path) -> None:
    now = [0.0]
    async with closed(tmp_path, clock=lambda: now[0], mode="static") as server:
        stub = TabletManagerStub(server.bench.channel)
        for _ in range(15):
            await failure(stub.ChangeType(tm.ChangeTypeRequest()))
            await failure(stub.ChangeType(tm.ChangeTypeRequest(), metadata=READER))
        await stub.VExec(UPDATE, metadata=OPERATOR)
        codes = [note["code"] for note in server.notes()]
        assert codes == ["UNAUTHENTICATED", "PERMISSION_DENIED"] * 5 + ["OK"]
        now[0] = 1.0
        await failure(stub.ChangeType(tm.ChangeTypeRequest()))
        assert len(server.notes()) == len(codes) + 1


async def test_an_audit_log_that_cannot_be_written_holds_no_call_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with closed(tmp_path, mode="static") as server:
        (tmp_path / "audit").touch()  # where its directory should be
        stub = TabletManagerStub(server.bench.channel)
        await stub.VExec(UPDATE, metadata=OPERATOR)
    assert "AuditLog: cannot write to" in caplog.text


def tls_port(ask_certificate: bool = True) -> Callable[[Access], list[Listener]]:
    def ports(access: Access) -> list[Listener]:
        assert access.tls is not None
        return [
            Listener("127.0.0.1", 0, access.tls.credentials(ask_certificate=ask_certificate)),
            Listener("127.0.0.1", 0, access.tls.credentials(ask_certificate=False)),
            Listener("127.0.0.1", 0),
        ]

    return ports


async def ping(channel: grpc.aio.Channel, metadata: Any = ()) -> grpc.StatusCode:
    async with channel:
        try:
            await TabletManagerStub(channel).Ping(tm.PingRequest(), metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_a_certificate_is_asked_for_and_gives_a_role(tmp_path: Path) -> None:
    roles = parse_name_roles(["rita=reader", "olga=operator"])
    async with closed(
        tmp_path, tls_port(), mode="mtls", tls=True, users=False, certificate_roles=roles
    ) as server:
        port = server.bench.server.port
        assert await ping(server.channel(port)) is grpc.StatusCode.UNAVAILABLE
        rita, olga, eve = (server.authority.pair(name) for name in ("rita", "olga", "eve"))
        assert await ping(server.channel(port, rita)) is grpc.StatusCode.OK
        assert await ping(server.channel(port, eve)) is grpc.StatusCode.UNAUTHENTICATED
        async with server.channel(port, rita) as channel:
            refused = await failure(TabletManagerStub(channel).VExec(UPDATE))
            assert "rita has the role reader" in str(refused.details())
        async with server.channel(port, olga) as channel:
            await TabletManagerStub(channel).VExec(UPDATE)
        assert [(note["certificate"], note["code"]) for note in server.notes()] == [
            ("rita", "PERMISSION_DENIED"),
            ("olga", "OK"),
        ]


async def test_a_certificate_that_is_revoked_ends_the_calls_of_a_connection_that_is_open(
    tmp_path: Path,
) -> None:
    async with closed(tmp_path, tls_port(), mode="mtls", tls=True, users=False) as server:
        client = server.authority.pair("client")
        async with server.channel(server.bench.server.port, client) as channel:
            stub = TabletManagerStub(channel)
            await stub.Ping(tm.PingRequest(), timeout=30)
            server.authority.revoke(client)
            assert server.access.tls is not None
            server.access.tls.reload()
            refused = await failure(stub.Ping(tm.PingRequest(), timeout=30))
            assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "was revoked" in str(refused.details())


async def code_at_the_end(server: Closed, heard: Any) -> grpc.StatusCode:
    """Have the health that a stream tells change until the server ends it."""

    async def listen() -> None:
        while await heard.read() is not grpc.aio.EOF:
            pass
        raise AssertionError("the server ended it without an error")

    listening = asyncio.create_task(listen())

    def has_ended() -> bool:
        server.bench.tablet.tell(server.bench.tablet.health)
        return listening.done()

    await eventually(has_ended)
    return await code(listening)


async def test_a_stream_ends_when_the_certificate_of_its_caller_is_revoked(tmp_path: Path) -> None:
    async with closed(tmp_path, tls_port(), mode="mtls", tls=True, users=False) as server:
        client = server.authority.pair("client")
        async with server.channel(server.bench.server.port, client) as channel:
            stub = queryservice_pb2_grpc.QueryStub(channel)
            heard = stub.StreamHealth(query_pb2.StreamHealthRequest(), timeout=150)
            assert await heard.read()
            server.authority.revoke(client)
            assert server.access.tls is not None
            server.access.tls.reload()
            assert await code_at_the_end(server, heard) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_ends_when_its_caller_is_taken_out_of_the_file_of_users(
    tmp_path: Path,
) -> None:
    async with closed(tmp_path, mode="static") as server:
        stub = queryservice_pb2_grpc.QueryStub(server.bench.channel)
        heard = stub.StreamHealth(query_pb2.StreamHealthRequest(), metadata=READER, timeout=150)
        assert await heard.read()
        others = [{"Username": "ada", "Password": "a", "Role": "admin"}]
        (tmp_path / "users.json").write_text(json.dumps(others))
        for part in server.access.renewable:
            part.reload()
        assert await code_at_the_end(server, heard) is grpc.StatusCode.PERMISSION_DENIED


async def test_ports_without_a_certificate_ask_for_a_password(tmp_path: Path) -> None:
    async with closed(tmp_path, tls_port(), mode="mtls", tls=True) as server:
        by_password, plain = server.bench.server.further_ports
        assert await ping(server.channel(by_password)) is grpc.StatusCode.UNAUTHENTICATED
        assert await ping(server.channel(by_password), READER) is grpc.StatusCode.OK
        address = f"localhost:{plain}"
        assert await ping(grpc.aio.insecure_channel(address)) is grpc.StatusCode.UNAUTHENTICATED
        assert await ping(grpc.aio.insecure_channel(address), READER) is grpc.StatusCode.OK
        # A port with TLS takes nothing else.
        main = f"localhost:{server.bench.server.port}"
        assert await ping(grpc.aio.insecure_channel(main), READER) is grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    async with closed(tmp_path, tls_port(False), mode="static", tls=True) as server:
        port, tls = server.bench.server.port, server.access.tls
        assert tls is not None
        for _ in range(3):
            fresh = server.authority.pair("server")
            tls.reload()
            shown = await asyncio.to_thread(shown_serial_number, port)
            assert shown == fresh.certificate.serial_number
        assert await ping(server.channel(port), READER) is grpc.StatusCode.OK


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    async with closed(tmp_path, tls_port(False), mode="static", tls=True) as server:
        port = server.bench.server.port
        assert await asyncio.to_thread(shown_serial_number, port, ssl.TLSVersion.TLSv1_2)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(shown_serial_number, port, ssl.TLSVersion.TLSv1_1)
