"""The role, for any history of the server and any orders of the operator."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import TabletdError
from tabletd.tablet import TabletType
from tabletd.tablet.role import Role, ServerState
from tests.support.replication import replication

servers = st.builds(
    ServerState, is_read_only=st.booleans(), replication=st.sampled_from([None, replication()])
)
types = st.sampled_from(TabletType)
configured = st.sampled_from([None, TabletType.PRIMARY, TabletType.REPLICA])


def apply(role: Role, step: ServerState | TabletType, server: ServerState | None) -> None:
    if isinstance(step, TabletType):
        try:
            role.set_by_operator(step, server)
        except TabletdError:
            return


@given(configured=configured, steps=st.lists(servers | types, max_size=20), last=servers)
def test_a_tablet_is_primary_only_while_its_server_is_writable_and_no_replica(
    configured: TabletType | None, steps: list[ServerState | TabletType], last: ServerState
) -> None:
    role = Role(configured)
    server: ServerState | None = None
    for step in [*steps, last]:
        apply(role, step, server)
        if isinstance(step, ServerState):
            server = step
            found = role.follow(step)
            assert found is not TabletType.UNKNOWN
            assert found is not TabletType.PRIMARY or step.is_promoted


@given(steps=st.lists(servers | types, max_size=20))
def test_without_configuration_a_promotion_always_makes_a_primary(
    steps: list[ServerState | TabletType],
) -> None:
    role = Role(None)
    server: ServerState | None = None
    for step in steps:
        apply(role, step, server)
        if isinstance(step, ServerState):
            server = step
            role.follow(step)
    role.follow(ServerState(is_read_only=True, replication=None))
    assert role.follow(ServerState(is_read_only=False, replication=None)) is TabletType.PRIMARY
