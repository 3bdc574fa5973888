"""What a sandbox refuses before anything is started."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.ledger import sandbox_names, sandboxes_directory
from tabletd.sandbox.removal import stop_sandbox
from tabletd.sandbox.sandbox import SandboxRequest, start_sandbox


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize(
    "request_",
    [
        SandboxRequest(name="../escape"),
        SandboxRequest(name=""),
        SandboxRequest(keyspace="my keyspace"),
        SandboxRequest(keyspace="`"),
        SandboxRequest(replicas=-1),
        SandboxRequest(replicas=99),
        SandboxRequest(shards=()),
        SandboxRequest(shards=("-80", "-80")),
        SandboxRequest(shards=("-80", "80")),
        SandboxRequest(shards=("-8",)),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused_and_leaves_nothing(
    request_: SandboxRequest,
) -> None:
    with pytest.raises(TabletdError) as refusal:
        start_sandbox(request_)

    assert refusal.value.reason is Reason.INVALID_REQUEST
    assert sandbox_names() == []


def test_stopping_a_sandbox_that_is_not_there_names_those_that_are() -> None:
    (sandboxes_directory() / "other").mkdir()

    with pytest.raises(TabletdError, match="sandboxes there are: other"):
        stop_sandbox("mine")


def test_a_directory_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    sandboxes_directory().chmod(0o777)

    with pytest.raises(TabletdError) as refusal:
        sandbox_names()

    assert refusal.value.reason is Reason.PERMISSION_DENIED
