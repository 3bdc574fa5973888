"""`tabletctl leftovers` and the library's method behind it."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd_client import LeftoverKind, connect
from tabletd_pb import migrations_pb2 as pb
from tests.support.fake_fleet import UUID, FakeFleet
from tests.support.tabletctl import run

OURS = pb.Leftover(
    kind=pb.Leftover.KIND_TABLE,
    name=f"_{UUID}_20261123100000_gho",
    schema="shop",
    uuid=UUID,
    removable=True,
)
BY_HAND = pb.Leftover(
    kind=pb.Leftover.KIND_TRIGGER,
    name="pt_osc_shop_orders_ins",
    schema="shop",
    table="orders",
    note="on orders; of a run by hand: no row names it",
)


async def test_each_tablet_tells_what_is_left_and_a_silent_one_why_it_does_not(
    fleet: FakeFleet,
) -> None:
    fleet.tablets[100].leftovers = [OURS, BY_HAND]
    fleet.tablets[201].failing["ListLeftovers"] = TabletdError(Reason.NOT_SERVING, "not yet")
    async with connect(fleet.address) as client:
        found = {one.alias: one for one in await client.leftovers("commerce")}
    ours, by_hand = found["zone1-0000000100"].left
    assert (ours.kind, ours.uuid, ours.removable) == (LeftoverKind.TABLE, UUID, True)
    assert (by_hand.kind, by_hand.table, by_hand.removable) == (
        LeftoverKind.TRIGGER,
        "orders",
        False,
    )
    assert found["zone1-0000000101"].left == ()
    assert "not yet" in found["zone1-0000000201"].error


async def test_what_is_left_is_readable_on_a_narrow_terminal(fleet: FakeFleet) -> None:
    fleet.tablets[100].leftovers = [OURS, BY_HAND]
    shown = await run(fleet, "leftovers")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "zone1-0000000100 (commerce/-80)",
        f"  table shop.{OURS.name}",
        f"    of {UUID}; to be removed",
        "  trigger shop.pt_osc_shop_orders_ins",
        "    on orders; of a run by hand: no row names it; not touched",
    ]
    assert max(map(len, shown.stdout.splitlines())) < 80


async def test_with_fix_it_says_what_is_gone_and_what_stays(fleet: FakeFleet) -> None:
    stuck = pb.Leftover(
        kind=pb.Leftover.KIND_TRIGGER, name="t", uuid=UUID, removable=True, failure="locked"
    )
    fleet.tablets[100].leftovers = [OURS, stuck]
    done = await run(fleet, "leftovers", "--fix")
    assert done.exit_code == 1
    assert f"of {UUID}; removed" in done.stdout
    assert f"of {UUID}; stays for now: locked" in done.stdout


async def test_nothing_left_is_said(fleet: FakeFleet) -> None:
    shown = await run(fleet, "leftovers")
    assert (shown.exit_code, shown.stdout) == (0, "nothing is left of any migration\n")


async def test_a_tablet_that_does_not_answer_shows_in_the_exit_code(fleet: FakeFleet) -> None:
    await fleet.tablets[201].stop()
    shown = await run(fleet, "leftovers")
    assert shown.exit_code == 3
    assert "zone1-0000000201 (commerce/80-)" in shown.stdout
