"""What a daemon holds after many small migrations and clients: `make soak`."""
