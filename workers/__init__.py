"""The Celery app, its tasks and its sweeper: each task a few lines that call the floors below."""
