"""A vtctld of our own: one daemon acts for all shards of a keyspace.

It knows a `Topology` and calls the tablets over `TabletManager`, the one beside it in this process.
Requests and answers are Vitess's messages, since most of them are passed on as they are.
"""
