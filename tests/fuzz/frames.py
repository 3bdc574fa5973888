"""Bytes for the two ports: HTTP requests, HTTP/2 frames and messages, each more or less broken."""

from __future__ import annotations

import random
import struct
from typing import Final

from tests.fuzz.chance import HOSTILE, corpus, damaged, often, pick
from tests.fuzz.grammars import UUIDS, command, vexec_statement

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING = 0x0, 0x1, 0x3, 0x4, 0x6
_WINDOW, _CONTINUATION = 0x8, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_REQUESTS: Final = tuple(text.encode("latin-1") for text in corpus("callbacks"))
_NUMBERS: Final = (
    *("0", "100", "1e3", "1e300", "1e999", "-1", "nan", "inf", "0x10", "9" * 30, "1_0", "%D9%A3"),
    *("", "abc", "%00", "%ff", "+5", "1.5"),
)
_STATUSES: Final = ("running", "complete", "failed", "ready", "queued", "RUNNING", "", "%00")
METHODS: Final = (
    *("tabletmanagerservice.TabletManager/Ping", "tabletmanagerservice.TabletManager/VExec"),
    *("tabletmanagerservice.TabletManager/ExecuteQuery", "queryservice.Query/Execute"),
    *("tabletmanagerservice.TabletManager/CheckThrottler", "vtctlservice.Vtctld/ApplySchema"),
    *("tabletmanagerservice.TabletManager/GetSchema", "vtctlservice.Vtctld/GetSchemaMigrations"),
    *("vtctlservice.Vtctl/ExecuteVtctlCommand", "vtctlservice.Vtctld/CheckThrottler"),
    *("tabletd.v1.Migrations/Explain", "tabletd.v1.Throttling/UpdateConfig"),
    *("tabletd.v1.Lag/Exchange", "vtctlservice.Vtctld/GetTablets", "grpc.health.v1.Health/Check"),
    *("tabletmanagerservice.TabletManager/Nothing", "vtctlservice.Vtctld/CancelSchemaMigration"),
)
STREAMS: Final = (
    *("queryservice.Query/StreamHealth", "tabletd.v1.Migrations/Watch"),
    *("grpc.health.v1.Health/Watch",),
)


def http_request(chance: random.Random) -> bytes:
    """Draw a request to the HTTP port, most often a report about a migration."""
    if often(chance, 50):
        words = [
            f"uuid={pick(chance, (*UUIDS, '', '%00', '%F0%9F%98%80', 'x' * 200))}",
            f"status={pick(chance, _STATUSES)}",
            *(f"dryrun={word}" for word in ("true", "1", "no")[: chance.randrange(3)]),
            *(
                f"{name}={pick(chance, _NUMBERS)}"
                for name in ("progress", "eta", "rowscopied")
                if often(chance, 60)
            ),
            pick(chance, ("token=right", "token=right", "token=", "token=%ff", "x=1")),
        ]
        chance.shuffle(words)
        query = "&".join(words)
        verb = pick(chance, ("GET", "POST", "HEAD", "DELETE", "OPTIONS", "TRACE"))
        path = f"/schema-migration/report-status?{query}"
        request = f"{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    else:
        request = pick(chance, _REQUESTS)
    if often(chance, 10):
        name = pick(chance, (b"Host", b"Authorization", b"Content-Length", b"Transfer-Encoding"))
        value = pick(chance, HOSTILE).encode("utf-8")
        request = request.replace(b"\r\n", b"\r\n" + name + b": " + value + b"\r\n", 1)
    return damaged(chance, request) if often(chance, 30) else request


def message(chance: random.Random) -> bytes:
    """Draw the bytes of a request message: fields that many of ours have, right or broken."""
    texts = (vexec_statement(chance), command(chance), pick(chance, HOSTILE), "shop", "0")
    found = b""
    for _ in range(chance.randrange(5)):
        number, kind = chance.randrange(1, 12), pick(chance, (0, 1, 2, 2, 2, 2, 5))
        found += _varint(number << 3 | kind)
        if kind == 0:
            found += _varint(pick(chance, (0, 1, 7, 2**31, 2**63, 2**64 - 1)))
        elif kind == 2:
            text = pick(chance, texts).encode()[:4000]
            found += _varint(len(text)) + text
        else:
            found += chance.randbytes(8 if kind == 1 else 4)
    return damaged(chance, found) if often(chance, 40) else found


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one HTTP/2 frame."""
    length = struct.pack(">I", len(payload) & 0xFFFFFF)[1:]
    return length + bytes((kind & 0xFF, flags & 0xFF)) + struct.pack(">I", stream) + payload


def headers(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return header fields in HPACK, each written out."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)


def _text(value: bytes) -> bytes:
    if len(value) < 0x7F:
        return bytes((len(value),)) + value
    return b"\x7f" + _varint(len(value) - 0x7F) + value


def call(method: str, body: bytes, stream: int = 1, *, end: bool = True) -> bytes:
    """Return the frames of one call by the operator."""
    pairs = [
        *((b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/{method}".encode())),
        *((b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc")),
        *((b"username", b"olga"), (b"password", b"olga")),
    ]
    enveloped = struct.pack(">?I", False, len(body)) + body
    return frame(_HEADERS, _END_HEADERS, stream, headers(pairs)) + frame(
        _DATA, _END_STREAM if end else 0, stream, enveloped
    )


def conversation(chance: random.Random) -> bytes:
    """Draw all that a client sends on one connection to the gRPC port."""
    if often(chance, 10):
        return chance.randbytes(chance.randrange(200))
    count = chance.randrange(1, 6)
    frames = [frame(_SETTINGS, 0, 0), *(_frames(chance, 2 * n + 1) for n in range(count))]
    if often(chance, 10):
        chance.shuffle(frames)
    sent = PREFACE + b"".join(frames)
    return damaged(chance, sent) if often(chance, 40) else sent


def _frames(chance: random.Random, stream: int) -> bytes:
    match chance.randrange(8):
        case 0 | 1:
            return call(pick(chance, METHODS), message(chance), stream)
        case 2:
            return _strange_call(chance, stream)
        case 3:
            reset = frame(_RESET, 0, stream, struct.pack(">I", chance.randrange(16)))
            return call(pick(chance, METHODS), message(chance), stream, end=False) + reset
        case 4:
            body = chance.randbytes(pick(chance, (0, 1, 4, 5, 6, 8, 12)))
            return frame(chance.randrange(256), chance.randrange(256), stream, body)
        case 5:
            setting = struct.pack(
                ">HI", chance.randrange(10), pick(chance, (0, 1, 2**31, 2**32 - 1))
            )
            return frame(_SETTINGS, chance.randrange(2), 0, setting * chance.randrange(4))
        case 6:
            step = pick(chance, (0, 1, 2**31 - 1, 2**32 - 1))
            return frame(_WINDOW, 0, pick(chance, (0, stream)), struct.pack(">I", step))
        case _:
            return frame(_PING, 0, 0, b"12345678") * chance.randrange(1, 20)


def _strange_call(chance: random.Random, stream: int) -> bytes:
    """A call whose headers or envelope are not as they should be."""
    hostile = pick(chance, HOSTILE).encode("utf-8")
    strange = (
        *((b"grpc-timeout", pick(chance, (b"0n", b"-1S", b"99999999H", b"1X", hostile))),),
        *((b"grpc-encoding", pick(chance, (b"gzip", b"identity", b"x", hostile))),),
        *((b"content-type", pick(chance, (b"application/grpc+json", b"text/html", b""))),),
        *((b"x-bin", hostile), (b"username", hostile), (b"password", hostile), (b"te", b"x")),
        *((b"tabletd-on-behalf-of", hostile), (b":path", b"/" + hostile), (b":method", b"GET")),
        *((hostile or b"x", b"1"), (b"x" * 9000, b"y" * 9000), (b"", b"")),
    )
    pairs = [
        *((b":method", b"POST"), (b":scheme", b"http")),
        *((b":path", b"/tabletmanagerservice.TabletManager/Ping"), (b":authority", b"x")),
        *((b"te", b"trailers"), (b"content-type", b"application/grpc")),
    ]
    pairs[chance.randrange(len(pairs)) :] = [pick(chance, strange) for _ in range(3)]
    block = headers(pairs)
    if often(chance, 20):
        cut = chance.randrange(len(block) + 1)
        block_frames = frame(_HEADERS, 0, stream, block[:cut]) + frame(
            _CONTINUATION, pick(chance, (0, _END_HEADERS)), stream, block[cut:]
        )
    else:
        block_frames = frame(_HEADERS, _END_HEADERS, stream, block)
    envelope = bytes((pick(chance, (0, 1, 2, 255)),)) + struct.pack(
        ">I", pick(chance, (0, 3, 4, 2**24, 2**31, 2**32 - 1))
    )
    return block_frames + frame(_DATA, _END_STREAM, stream, envelope + b"\x0a\x01x")


def unfinished(chance: random.Random) -> tuple[str, bytes]:
    """Draw for which port, and the beginning of a request that is never sent to its end."""
    if often(chance, 50):
        request = pick(chance, _REQUESTS)
        if often(chance, 30):
            request = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * chance.randrange(50)
        if often(chance, 30):
            request = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x"
        return "http", request[: chance.randrange(1, len(request))]
    sent = PREFACE + frame(_SETTINGS, 0, 0)
    for number in range(chance.randrange(4)):
        sent += call(pick(chance, (*METHODS, *STREAMS)), b"", 2 * number + 1, end=often(chance, 50))
    sent += call(METHODS[0], b"\x0a\xff\xff\x03" + b"x" * 100, 9, end=False)
    return "grpc", sent[: chance.randrange(1, len(sent))]
