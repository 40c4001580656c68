"""Models: which are registered and which one speaks; shadows, re-scoring, monitoring."""
