"""Rules for apps: whom they name, how often they deny, when they end."""

from __future__ import annotations

import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.throttler import AppRules, ConfigChange, ResponseCode, RuleChange, Throttler
from tests.support.fakes_throttler import FakeShard, MemoryRuleStore, Replica

UUID = "7a1b2c3d_0000_11ee_8000_0242ac120002"
APP = f"online-ddl:gh-ost:{UUID}"


def code(throttler: Throttler, app: str = APP) -> ResponseCode:
    return throttler.check(app).code


@pytest.mark.parametrize("name", [UUID, "online-ddl", "gh-ost", "all", APP])
async def test_a_rule_names_the_whole_app_or_a_part_or_all(name: str) -> None:
    rules, throttler = await FakeShard().primary()
    await rules.throttle(name)
    denied = throttler.check(APP, low_priority=True)
    assert (denied.code, denied.status_code) == (ResponseCode.APP_DENIED, 417)
    assert denied.app == name
    assert denied.message == f"{name} is throttled until 2123-11-15 22:13:20 UTC"
    assert denied.summary.startswith(f"{name} is explicitly denied access")
    assert await rules.unthrottle(name)
    assert not await rules.unthrottle(name)
    assert code(throttler) is ResponseCode.OK


@pytest.mark.parametrize("name", ["online", "7a1b2c3d", "Online-DDL", "gh-ost:online-ddl"])
async def test_a_rule_for_something_else_denies_nobody(name: str) -> None:
    rules, throttler = await FakeShard().primary()
    await rules.throttle(name)
    assert code(throttler) is ResponseCode.OK


async def test_all_is_asked_only_when_no_part_has_a_rule_of_its_own() -> None:
    rules, throttler = await FakeShard().primary()
    await rules.throttle("all")
    await rules.throttle("gh-ost", ratio=0.0)
    assert code(throttler) is ResponseCode.OK
    assert code(throttler, "online-ddl:pt-osc:1") is ResponseCode.APP_DENIED


async def test_a_ratio_is_the_share_of_checks_that_are_denied() -> None:
    shard = FakeShard()
    rules, throttler = await shard.primary()
    await rules.throttle("online-ddl", ratio=0.3)
    shard.draw = 0.29
    denied = throttler.check(APP)
    assert denied.message.startswith("online-ddl is throttled for 30% of its checks until ")
    shard.draw = 0.3
    assert code(throttler) is ResponseCode.OK


async def test_a_rule_of_an_app_without_parts_is_drawn_once() -> None:
    draws = iter([0.9, 0.1])
    shard = FakeShard()
    rules = AppRules(shard.store, clock=shard.clock, random=lambda: next(draws))
    throttler = shard.throttler(rules)
    await rules.make_primary()
    await rules.throttle("batch", ratio=0.5)
    assert code(throttler, "batch") is ResponseCode.OK


async def test_an_exempt_app_goes_on_whatever_the_lag_and_other_rules_say() -> None:
    rules, throttler = await FakeShard(replicas={"a:1": Replica(99.0)}).primary()
    await rules.throttle("all")
    await rules.throttle("gh-ost", exempt=True)
    assert code(throttler) is ResponseCode.OK
    assert code(throttler, "schema-tracker") is ResponseCode.OK
    assert code(throttler, "batch") is ResponseCode.APP_DENIED


async def test_a_rule_ends_by_itself() -> None:
    shard = FakeShard()
    rules, throttler = await shard.primary()
    await rules.throttle(UUID, expire_seconds=60)
    shard.clock.advance(59.9)
    assert code(throttler) is ResponseCode.APP_DENIED
    shard.clock.advance(0.2)
    assert code(throttler) is ResponseCode.OK
    assert UUID not in rules.rules()
    assert UUID in shard.store.ends_ns
    await rules.refresh()
    assert UUID not in shard.store.ends_ns


async def test_the_end_is_told_by_the_clock_of_the_server_not_by_ours() -> None:
    shard = FakeShard()
    shard.store = MemoryRuleStore(shard.clock, ahead_seconds=3600)
    rules, throttler = await shard.primary()
    await rules.throttle(UUID, expire_seconds=60)
    assert "23:14:20 UTC" in throttler.check(APP).message
    shard.clock.set_wall_ns(0)
    assert code(throttler) is ResponseCode.APP_DENIED
    shard.clock.advance(61)
    assert code(throttler) is ResponseCode.OK


async def test_a_rule_up_to_a_moment_is_set_while_that_is_ahead_on_the_server() -> None:
    shard = FakeShard()
    rules, _ = await shard.primary()
    now_ns = shard.clock.wall_ns()

    async def set_until(expires_at_ns: int) -> bool:
        await rules.update(ConfigChange(), RuleChange(UUID, 0.5, False, expires_at_ns))
        return UUID in rules.rules()

    assert await set_until(now_ns + 1_000_000_000)
    assert not await set_until(0)
    assert await set_until(now_ns + 10**21)
    assert not await set_until(now_ns)


async def test_the_apps_for_trying_out_are_denied_without_a_rule_for_ten_years() -> None:
    rules, throttler = await FakeShard().primary()
    assert code(throttler, "online-ddl:always-throttled-app") is ResponseCode.APP_DENIED
    assert rules.rules()["always-throttled-app"].expires_at.year == 2033
    assert rules.stored_rules() == {}
    await rules.throttle("always-throttled-app", ratio=0.0)
    assert code(throttler, "always-throttled-app") is ResponseCode.OK
    await rules.unthrottle("always-throttled-app")
    assert code(throttler, "always-throttled-app") is ResponseCode.APP_DENIED


async def test_the_ratio_of_a_migration_is_the_larger_of_its_own_and_that_of_all() -> None:
    rules, _ = await FakeShard().primary()
    assert rules.user_throttle_ratio(UUID) == 0.0
    await rules.throttle("online-ddl", ratio=0.4)
    assert rules.user_throttle_ratio(UUID) == 0.4
    await rules.throttle(UUID, ratio=0.7)
    assert rules.user_throttle_ratio(UUID) == 0.7
    await rules.throttle(UUID, ratio=0.2)
    assert rules.user_throttle_ratio(UUID) == 0.4
    await rules.throttle("online-ddl", exempt=True)
    assert rules.user_throttle_ratio(UUID) == 0.2


@pytest.mark.parametrize(
    ("app", "ratio", "seconds"),
    [
        ("", 1.0, 60.0),
        (" ", 1.0, 60.0),
        ("x" * 257, 1.0, 60.0),
        ("a", 1.1, 60.0),
        ("a", -0.1, 60.0),
        ("a", float("nan"), 60.0),
        ("a", 1.0, 0.0),
        ("a", 1.0, -1.0),
        ("a", 1.0, float("nan")),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    app: str, ratio: float, seconds: float
) -> None:
    shard = FakeShard()
    rules, _ = await shard.primary()
    with pytest.raises(TabletdError) as refusal:
        await rules.throttle(app, ratio=ratio, expire_seconds=seconds)
    assert refusal.value.reason is Reason.INVALID_REQUEST
    assert shard.store.ends_ns == {}


async def test_only_a_primary_takes_rules_and_a_replica_follows() -> None:
    shard = FakeShard()
    rules, _ = await shard.primary()
    follower, throttler = await shard.replica()
    await rules.throttle(UUID)
    with pytest.raises(TabletdError) as refusal:
        await follower.throttle(UUID)
    assert refusal.value.reason is Reason.NOT_PRIMARY
    with pytest.raises(TabletdError):
        await follower.unthrottle(UUID)
    with pytest.raises(TabletdError):
        await follower.update(ConfigChange(disable=True))
    assert code(throttler) is ResponseCode.OK
    await follower.refresh()
    assert code(throttler) is ResponseCode.APP_DENIED
    shard.clock.advance(101 * 365.25 * 86_400)
    await follower.refresh()
    assert UUID in shard.store.ends_ns


async def test_what_was_known_stays_while_the_server_is_away() -> None:
    shard = FakeShard()
    rules, throttler = await shard.primary()
    await rules.throttle(UUID)
    shard.store.error = MySQLUnavailable("gone")
    with pytest.raises(MySQLUnavailable):
        await rules.refresh()
    assert code(throttler) is ResponseCode.APP_DENIED


async def test_a_request_that_is_refused_changes_neither_settings_nor_rules() -> None:
    shard = FakeShard()
    rules, _ = await shard.primary()
    end_ns = shard.clock.wall_ns() + 10**12
    with pytest.raises(TabletdError):
        await rules.update(ConfigChange(disable=True), RuleChange("a", 2.0, False, end_ns))
    with pytest.raises(TabletdError):
        await rules.update(
            ConfigChange(metric_name="nonsense"), RuleChange("a", 1.0, False, end_ns)
        )
    assert rules.config.enabled
    assert rules.stored_rules() == {}


async def test_show_throttled_apps_lists_the_rules_with_their_ends() -> None:
    rules, _ = await FakeShard().primary()
    await rules.throttle(UUID, ratio=0.5, expire_seconds=60)
    assert rules.show().dicts()[0] == {
        "app": UUID.encode(),
        "expire_at": b"2023-11-14 22:14:20",
        "ratio": b"0.5",
        "exempt": b"0",
    }
    assert [row["app"] for row in rules.show().dicts()][1:] == [
        b"abusing-app",
        b"always-throttled-app",
    ]
