"""Counters, metrics, traces and logs."""
