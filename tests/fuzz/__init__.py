"""Hostile input, drawn at random: `make fuzz`, and a short form among the tests."""
