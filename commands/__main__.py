"""Entry point."""

def main() -> None:
    """Placeholder replaced in the next step."""
