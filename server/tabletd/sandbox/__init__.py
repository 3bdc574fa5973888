"""Throw-away servers with a tablet beside each, for the demo, the tests and development."""
