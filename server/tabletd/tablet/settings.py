"""What an operator decides about a tablet's role and health."""

from __future__ import annotations

from dataclasses import dataclass

from tabletd.tablet.identity import TabletType


@dataclass(frozen=True, slots=True)
class TabletSettings:
    """Thresholds and intervals; the defaults are those of Vitess.

    Attributes:
        type: the role by configuration; None: found from the server. PRIMARY holds only while the
            server is writable and no replica; every other type holds whatever the server is.
        health_check_interval_seconds: longest time between two health broadcasts.
        degraded_threshold_seconds: lag above this is shown as unhappy; nothing else.
        unhealthy_threshold_seconds: lag above this ends serving.
        replication_stopped_grace_seconds: how long replication may stand before serving ends.
        serving_state_grace_seconds: how long queries for the former type are answered after a
            promotion.
        follow_interval_seconds: time between two looks at the server.
        look_seconds_max: how long one look may take; then the server counts as away.
        subscriber_buffer_max: broadcasts that a slow subscriber may lag behind.
    """

    type: TabletType | None = None
    health_check_interval_seconds: float = 20.0
    degraded_threshold_seconds: float = 30.0
    unhealthy_threshold_seconds: float = 7200.0
    replication_stopped_grace_seconds: float = 30.0
    serving_state_grace_seconds: float = 0.0
    follow_interval_seconds: float = 1.0
    look_seconds_max: float = 3.0
    subscriber_buffer_max: int = 20
