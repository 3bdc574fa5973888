"""Clients in other languages; a package so that their daemons end with it."""
