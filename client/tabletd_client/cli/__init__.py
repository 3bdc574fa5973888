"""The command `tabletctl`; needs the extra `cli` (typer, rich)."""

from __future__ import annotations

import os
import sys

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command; ends the process."""
    # The gRPC library must not write into the answers; it looks at this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from tabletd_client.cli.application import application

        application(prog_name="tabletctl")
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(f"tabletctl needs {error.name}: pip install 'tabletd[cli]'\n")
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:  # before the command has begun: nothing was sent
        sys.exit(EXIT_INTERRUPTED)
