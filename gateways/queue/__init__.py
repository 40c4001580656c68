"""The database as the queue: accepted events, jobs, and how workers are woken for them."""
