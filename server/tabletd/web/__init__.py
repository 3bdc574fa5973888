"""The HTTP side: counters, health, the tools' callback, the throttler's answer, a status page."""
