"""The knowledge: pure functions over arrays and records. No clock, no network, no disk but the package's own data."""
