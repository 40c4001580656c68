"""The audit log: one hash-chained row for everything that was seen or done."""
