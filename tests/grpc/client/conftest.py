from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

import tabletd_client
from tabletd_client import Client
from tests.support.fake_fleet import FakeFleet, fake_fleet


@pytest.fixture
async def fleet() -> AsyncGenerator[FakeFleet]:
    async with fake_fleet() as running:
        yield running


@pytest.fixture
async def client(fleet: FakeFleet) -> AsyncGenerator[Client]:
    async with tabletd_client.connect(fleet.address, timeout_seconds=10.0) as connected:
        yield connected
