"""How a migration is carried out: one engine per strategy."""
