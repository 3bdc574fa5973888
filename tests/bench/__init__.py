"""What tabletd costs, measured side by side with the bare thing it stands on."""
