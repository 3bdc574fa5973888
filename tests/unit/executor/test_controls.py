"""What is wanted of a run while it runs."""

from __future__ import annotations

import asyncio

from tabletd.executor.controls import LiveControls, Wanted


async def test_a_change_that_came_before_the_wait_is_not_missed() -> None:
    controls = LiveControls(Wanted(postpone_completion=True))
    controls.want(Wanted(postpone_completion=False, force_cutover=True))

    await asyncio.wait_for(controls.changed(), 60)

    assert controls.wanted == Wanted(force_cutover=True)
    assert (controls.postpone_completion, controls.force_cutover) == (False, True)


async def test_each_change_is_told_once() -> None:
    controls = LiveControls()
    controls.want(Wanted(cutover_threshold_seconds=7, completion_waits_for="an earlier one"))
    await asyncio.wait_for(controls.changed(), 60)
    waiting = asyncio.ensure_future(controls.changed())
    controls.want(controls.wanted)
    await asyncio.sleep(0)

    assert not waiting.done()
    assert controls.cutover_threshold_seconds == 7
    assert controls.completion_waits_for == "an earlier one"
    waiting.cancel()
