"""The outside: one module per outside system."""
