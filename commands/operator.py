"""Who sits at the keyboard, for the audit log."""

import getpass
import socket


def operator() -> str:
    """user@host; the number of the user where the system has no name for it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:128]
