"""The bounds of the heartbeat's interval."""

from __future__ import annotations

import logging

import pytest

from tabletd.heartbeat import HeartbeatSettings, bounded_interval_seconds


@pytest.mark.parametrize(
    ("configured_seconds", "used_seconds"), [(0, 0.25), (0.1, 0.1), (0.25, 0.25), (1, 1)]
)
def test_an_interval_up_to_a_second_is_used_and_zero_means_the_default(
    configured_seconds: float, used_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert bounded_interval_seconds(configured_seconds) == used_seconds
    assert not caplog.records


def test_a_longer_interval_is_one_second_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert bounded_interval_seconds(5) == 1
    assert "heartbeat_interval 5 s is too long" in caplog.text


def test_a_write_may_take_longer_than_a_short_interval() -> None:
    assert HeartbeatSettings("test", "0", 1111, interval_seconds=0.1).statement_seconds_max == 1


def test_the_key_of_the_row_is_keyspace_and_shard() -> None:
    assert HeartbeatSettings("test", "0", 1111).keyspace_shard == "test:0"
