"""Migrations on servers whose settings make it hard."""
