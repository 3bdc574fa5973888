"""Stubs made from protos/tabletd_pb by `make protos`; do not edit."""
