"""What a change makes of the throttler's stored settings."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.throttler import ConfigChange, ThrottlerConfig
from tabletd.throttler.config import changed

CONFIG = ThrottlerConfig(threshold=3.0, app_checked_metrics={"batch": ("lag",)})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (ConfigChange(), CONFIG),
        (ConfigChange(threshold=0.0), CONFIG),
        (
            ConfigChange(threshold=7.0),
            ThrottlerConfig(threshold=7.0, app_checked_metrics={"batch": ("lag",)}),
        ),
        (
            ConfigChange(custom_query_set=True, threshold=0.0),
            ThrottlerConfig(app_checked_metrics={"batch": ("lag",)}),
        ),
        (
            ConfigChange(metric_name="lag", threshold=2.0),
            ThrottlerConfig(
                threshold=3.0,
                metric_thresholds={"lag": 2.0},
                app_checked_metrics={"batch": ("lag",)},
            ),
        ),
        (
            ConfigChange(metric_name="threads_running", threshold=50.0),
            ThrottlerConfig(
                threshold=3.0,
                metric_thresholds={"threads_running": 50.0},
                app_checked_metrics={"batch": ("lag",)},
            ),
        ),
        (
            ConfigChange(metric_name="lag"),
            ThrottlerConfig(threshold=3.0, app_checked_metrics={"batch": ("lag",)}),
        ),
        (
            ConfigChange(custom_query=" SELECT 7 ", custom_query_set=True, threshold=5.0),
            ThrottlerConfig(
                threshold=5.0, custom_query="SELECT 7", app_checked_metrics={"batch": ("lag",)}
            ),
        ),
        (
            ConfigChange(app_name="batch", app_checked_metrics=("lag=2", "threads_running=50")),
            ThrottlerConfig(
                threshold=3.0, app_checked_metrics={"batch": ("lag=2", "threads_running=50")}
            ),
        ),
        (
            ConfigChange(disable=True, app_name="batch"),
            ThrottlerConfig(enabled=False, threshold=3.0),
        ),
        (
            ConfigChange(app_name="b", app_checked_metrics=("self/lag", "shard/lag")),
            ThrottlerConfig(
                threshold=3.0,
                app_checked_metrics={"batch": ("lag",), "b": ("self/lag", "shard/lag")},
            ),
        ),
    ],
)
def test_a_change_does_what_it_says(change: ConfigChange, expected: ThrottlerConfig) -> None:
    after = changed(CONFIG, change)
    assert dict(after.app_checked_metrics) == dict(expected.app_checked_metrics)
    assert dict(after.metric_thresholds) == dict(expected.metric_thresholds)
    assert (after.enabled, after.threshold, after.custom_query) == (
        expected.enabled,
        expected.threshold,
        expected.custom_query,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ConfigChange(enable=True, disable=True), "mutually exclusive"),
        (ConfigChange(metric_name="nonsense", threshold=1.0), "unknown metric name: nonsense"),
        (ConfigChange(metric_name="mysqld-loadavg", threshold=1.0), "loadavg is not measured"),
        (ConfigChange(custom_query="select 1"), "not to be set"),
        (ConfigChange(custom_query="DELETE FROM t", custom_query_set=True), "only reads"),
        (ConfigChange(custom_query="select 1; drop table t", custom_query_set=True), "only reads"),
        (ConfigChange(custom_query="select 1 into @x", custom_query_set=True), "only reads"),
        (ConfigChange(custom_query="show " + "x" * 2000, custom_query_set=True), "only reads"),
        (ConfigChange(check_as_check_self=True), "for its shard"),
        (ConfigChange(threshold=float("nan")), "is no number"),
        (ConfigChange(threshold=-1.0), "cannot be negative"),
        (ConfigChange(metric_name="lag", threshold=-1.0), "cannot be negative .0 takes it away"),
        (ConfigChange(app_checked_metrics=("lag",)), "no app"),
        (ConfigChange(app_name="a", app_checked_metrics=("lag", "lag")), "named twice"),
        (ConfigChange(app_name="a", app_checked_metrics=("moon/lag",)), "unknown scope 'moon'"),
        (ConfigChange(app_name="a", app_checked_metrics=("lag=2", "lag")), "named twice"),
        (ConfigChange(app_name="a", app_checked_metrics=("lag=-1",)), "is no number above 0"),
        (ConfigChange(app_name="a", app_checked_metrics=("lag=soon",)), "is no number above 0"),
        (
            ConfigChange(app_name="a", app_checked_metrics=("mysqld-datadir-used-ratio",)),
            "not measured",
        ),
        (ConfigChange(app_name=" ", app_checked_metrics=("lag",)), "the name of an app"),
    ],
)
def test_a_change_that_cannot_be_obeyed_is_refused(change: ConfigChange, words: str) -> None:
    with pytest.raises(TabletdError, match=words) as refusal:
        changed(CONFIG, change)
    assert refusal.value.reason is Reason.INVALID_REQUEST
