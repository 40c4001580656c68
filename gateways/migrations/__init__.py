"""Alembic's scripts: how the tables came to be what gateways/tables.py says."""
