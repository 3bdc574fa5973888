"""Rules and settings in `_vt`: kept over a restart, replicated, never written where none may be."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tabletd.clock import SystemClock
from tabletd.errors import NotWritable, TabletdError
from tabletd.throttler import AppRules, ConfigChange, RuleChange, RuleStore
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually

UUID = "7a1b2c3d_0000_11ee_8000_0242ac120002"
HOUR_NS = 3600 * 10**9


@asynccontextmanager
async def rules_on(server: RealServer, *, is_primary: bool = True) -> AsyncGenerator[AppRules]:
    """Rules as a daemon beside the server has them after its start."""
    async with pool_of(server) as pool:
        rules = AppRules(RuleStore(pool), clock=SystemClock())
        await (rules.make_primary() if is_primary else rules.make_non_primary())
        await rules.refresh()
        yield rules


async def test_a_server_without_our_tables_has_no_rules_and_gets_none(
    any_server: RealServer,
) -> None:
    before = any_server.gtid_executed()
    async with rules_on(any_server) as rules:
        assert rules.is_loaded
        assert rules.stored_rules() == {}
        assert rules.config.enabled
    assert any_server.gtid_executed() == before


async def test_rules_and_settings_survive_a_restart(any_server: RealServer) -> None:
    async with rules_on(any_server) as rules:
        await rules.throttle(UUID, ratio=0.25, expire_seconds=3600)
        await rules.throttle("größe:\U0001f4a9", exempt=True)
        await rules.update(
            ConfigChange(
                disable=True, threshold=2.5, app_name="bätch", app_checked_metrics=("self/lag",)
            )
        )
        await rules.update(ConfigChange(metric_name="lag", threshold=1.5))
        await rules.update(ConfigChange(metric_name="threads_running", threshold=50.0))
        query = "show global status like 'threads_connected' -- größe"
        await rules.update(ConfigChange(custom_query=query, custom_query_set=True, threshold=2.5))
        written = rules.stored_rules()
    async with rules_on(any_server) as rules:
        again = rules.stored_rules()
        assert {name: rule.words for name, rule in again.items()} == {
            name: rule.words for name, rule in written.items()
        }
        assert again[UUID].ratio == 0.25
        assert again["größe:\U0001f4a9"].is_exempt
        config = rules.config
        assert (config.enabled, config.threshold, config.custom_query) == (False, 2.5, query)
        assert dict(config.metric_thresholds) == {"lag": 1.5, "threads_running": 50.0}
        assert dict(config.app_checked_metrics) == {"bätch": ("self/lag",)}


async def test_a_rule_is_replaced_and_removed(any_server: RealServer) -> None:
    async with rules_on(any_server) as rules:
        await rules.throttle(UUID)
        await rules.throttle(UUID, ratio=0.5)
        assert rules.user_throttle_ratio(UUID) == 0.5
        assert await rules.unthrottle(UUID)
        assert not await rules.unthrottle(UUID)
    assert any_server.query("SELECT * FROM _vt.throttled_apps") == []


async def test_names_of_different_case_are_different_apps(any_server: RealServer) -> None:
    async with rules_on(any_server) as rules:
        await rules.throttle("Batch", ratio=0.1)
        await rules.throttle("batch", ratio=0.2)
        assert {name: rule.ratio for name, rule in rules.stored_rules().items()} == {
            "Batch": 0.1,
            "batch": 0.2,
        }


async def test_a_rule_that_is_over_is_removed_by_the_primary_alone(any_pair: Pair) -> None:
    async with (
        rules_on(any_pair.primary) as rules,
        rules_on(any_pair.replica, is_primary=False) as follower,
    ):
        await rules.throttle(UUID, expire_seconds=0.05)
        any_pair.catch_up()
        await eventually(lambda: UUID not in rules.stored_rules(), what="over")
        before = any_pair.replica.gtid_executed()
        await follower.refresh()
        assert any_pair.replica.gtid_executed() == before
        await rules.refresh()
        assert any_pair.primary.query("SELECT * FROM _vt.throttled_apps") == []


async def test_the_next_primary_has_the_rules_of_the_former(any_pair: Pair) -> None:
    async with (
        rules_on(any_pair.primary) as rules,
        rules_on(any_pair.replica, is_primary=False) as next_rules,
    ):
        await rules.throttle(UUID, ratio=0.5)
        await rules.update(ConfigChange(threshold=3.0))
        any_pair.catch_up()
        await next_rules.make_primary()
        await next_rules.refresh()
        assert next_rules.user_throttle_ratio(UUID) == 0.5
        assert next_rules.config.threshold == 3.0


async def test_nothing_is_written_under_read_only_even_by_root(any_pair: Pair) -> None:
    async with rules_on(any_pair.replica) as rules:
        before = any_pair.replica.gtid_executed()
        with pytest.raises(NotWritable):
            await rules.throttle(UUID)
        with pytest.raises(NotWritable):
            await rules.unthrottle(UUID)
        with pytest.raises(NotWritable):
            await rules.update(ConfigChange(disable=True))
        assert any_pair.replica.gtid_executed() == before


async def test_a_replica_that_takes_writes_is_not_written_either(any_pair: Pair) -> None:
    any_pair.replica.query("SET GLOBAL read_only = 0")
    async with rules_on(any_pair.replica, is_primary=False) as rules:
        before = any_pair.replica.gtid_executed()
        with pytest.raises(TabletdError, match="primary"):
            await rules.throttle(UUID)
        assert any_pair.replica.gtid_executed() == before


async def test_a_rule_up_to_a_moment_is_held_against_the_servers_clock(
    any_server: RealServer,
) -> None:
    async with rules_on(any_server) as rules:
        now_ns = SystemClock().wall_ns()
        for end_ns, is_kept in ((now_ns + HOUR_NS, True), (now_ns - HOUR_NS, False)):
            await rules.update(ConfigChange(), RuleChange(UUID, 1.0, False, end_ns))
            assert (UUID in rules.stored_rules()) is is_kept
        await rules.update(ConfigChange(), RuleChange(UUID, 1.0, False, now_ns + HOUR_NS))
        assert abs(rules.rules()[UUID].expires_at_ns - (now_ns + HOUR_NS)) < 10 * 10**9


async def test_settings_that_somebody_wrote_by_hand_do_no_harm(any_server: RealServer) -> None:
    async with rules_on(any_server) as rules:
        await rules.update(ConfigChange(threshold=1.0))
        for text in ("", "nonsense", "[1]", '{"a": 5, "b": ["moon", 7], "c": ["lag"]}'):
            any_server.query("UPDATE _vt.throttler_config SET app_checked_metrics = %s", (text,))
            await rules.refresh()
        assert dict(rules.config.app_checked_metrics) == {"c": ("lag",)}


async def test_what_an_older_version_has_left_is_read_and_taken_over(
    any_server: RealServer,
) -> None:
    any_server.query("CREATE DATABASE _vt")
    any_server.query(
        "CREATE TABLE _vt.throttled_apps (name varbinary(256) PRIMARY KEY, ratio double NOT NULL,"
        " expires_at datetime(6) NOT NULL, exempt tinyint unsigned NOT NULL DEFAULT 0)"
    )
    any_server.query(
        "CREATE TABLE _vt.throttler_config (id tinyint unsigned PRIMARY KEY,"
        " enabled tinyint unsigned NOT NULL DEFAULT 1, threshold double NOT NULL DEFAULT 0,"
        " lag_threshold double NOT NULL DEFAULT 0, app_checked_metrics text NOT NULL)"
    )
    any_server.query("INSERT INTO _vt.throttler_config VALUES (1, 0, 3, 2, '{}')")
    async with rules_on(any_server) as rules:
        assert (rules.config.enabled, rules.config.threshold) == (False, 3.0)
        assert dict(rules.config.metric_thresholds) == {"lag": 2.0}
        await rules.update(ConfigChange(enable=True))
        assert rules.config.enabled
