"""Traces and metrics reach a collector when the standard variables are set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tabletd.sandbox.servers import free_port
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.servers import RealServer
from tests.support.stubs import manager
from tests.support.waiting import eventually_blocking

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Collector(
    trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer
):
    """Keeps the spans by name and the names of metrics."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.metrics: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans.update({span.name: span for span in scope.spans})
            return trace_service_pb2.ExportTraceServiceResponse()
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def collecting() -> Generator[tuple[Collector, int]]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    collector, port = Collector(), server.add_insecure_port("127.0.0.1:0")
    traces: Any = trace_service_pb2_grpc
    traces.add_TraceServiceServicer_to_server(collector, server)
    metrics: Any = metrics_service_pb2_grpc
    metrics.add_MetricsServiceServicer_to_server(collector, server)
    server.start()
    try:
        yield collector, port
    finally:
        server.stop(None).wait()


def serve_command(server: RealServer, grpc_port: int, directory: Path) -> list[str]:
    flags = {
        "tablet-alias": "zone1-101",
        "keyspace": "shop",
        "mysql-port": server.port,
        "mysql-user": DAEMON_USER,
        "grpc-port": grpc_port,
        "http-port": 0,
        "run-directory": directory,
    }
    words = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "tabletd", "serve", *words]


def test_rpcs_and_sql_are_traced_and_every_var_is_a_metric(
    mariadb: RealServer, tmp_path: Path
) -> None:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    grpc_port = free_port()
    with collecting() as (collector, port):
        daemon = subprocess.Popen(
            serve_command(mariadb, grpc_port, tmp_path),
            env={
                **os.environ,
                "TABLETD_MYSQL_PASSWORD": DAEMON_PASSWORD,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "OTEL_METRIC_EXPORT_INTERVAL": "200",
            },
        )
        try:
            with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
                manager(channel).ExecuteFetchAsDba(
                    tm.ExecuteFetchAsDbaRequest(query=b"SELECT 'sesame'"),
                    wait_for_ready=True,
                    timeout=60,
                    metadata=(("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),),
                )
            method = "tabletmanagerservice.TabletManager/ExecuteFetchAsDba"
            eventually_blocking(lambda: method in collector.spans)
            eventually_blocking(lambda: "mysql.execute" in collector.spans)
            eventually_blocking(lambda: "tabletd_heartbeat_writes" in collector.metrics)
            eventually_blocking(lambda: "rpc.server.call.duration" in collector.metrics)
            assert collector.spans[method].trace_id.hex() == TRACE_ID
            assert "sesame" not in str(collector.spans)
        finally:
            psutil.Process(daemon.pid).terminate()
            assert daemon.wait(60) == 0


def test_a_collector_that_is_not_there_delays_nothing(mariadb: RealServer, tmp_path: Path) -> None:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    grpc_port = free_port()
    daemon = subprocess.Popen(
        serve_command(mariadb, grpc_port, tmp_path),
        env={
            **os.environ,
            "TABLETD_MYSQL_PASSWORD": DAEMON_PASSWORD,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            answer = manager(channel).Ping(
                tm.PingRequest(payload="p"), wait_for_ready=True, timeout=60
            )
            assert answer.payload == "p"
    finally:
        daemon.terminate()
        assert daemon.wait(60) == 0
