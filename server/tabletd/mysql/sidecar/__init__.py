"""Our own schema, `_vt`: declared in the .sql files beside, made true by `ensure_sidecar`."""

from tabletd.mysql.sidecar.sidecar import SIDECAR_SCHEMA, ensure_sidecar

__all__ = ["SIDECAR_SCHEMA", "ensure_sidecar"]
