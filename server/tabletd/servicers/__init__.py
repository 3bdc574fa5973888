"""The gRPC side: one module for each service; no SQL and no decisions here."""
