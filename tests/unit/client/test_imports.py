"""What the library and the command load; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tabletd_client


def _loaded_by(program: str) -> set[str]:
    """Return the names of all modules that a program loads."""
    listing = f"import sys\n{program}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_the_library_needs_grpcio_and_protobuf_only() -> None:
    bare = _loaded_by("import grpc.aio, google.protobuf.any_pb2")
    library = _loaded_by("import tabletd_client.client, tabletd_client.sync")
    ours = {"tabletd_client", "tabletd_pb", "google", "grpc"}
    more = {name.partition(".")[0] for name in library - bare} - ours
    assert more <= sys.stdlib_module_names
    assert "tabletd" not in more


def test_help_waits_for_neither_grpc_nor_rich() -> None:
    loaded = _loaded_by("import tabletd_client.cli.application")
    assert not loaded & {"grpc", "rich", "google.protobuf"}


def test_every_public_name_can_be_had() -> None:
    for name in tabletd_client.__all__:
        assert getattr(tabletd_client, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tabletd_client.nothing


def test_without_its_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from tabletd_client.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 2
    assert "pip install 'tabletd[cli]'" in run.stderr


def test_help_of_what_only_looks_waits_for_grpc_as_little() -> None:
    assert "grpc" not in _loaded_by("import tabletd_client.cli.look")
