"""Alembic's scripts: how the tables came to be what gateways/store/tables.py says."""
