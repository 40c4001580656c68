"""`python -m workers work [--queues a,b]` and `python -m workers sweep`: what `vbq work` and `vbq sweep` start."""

import os
import sys

# Read by billiard when it is imported: SIGTERM then drains as SIGQUIT does (docs on reliability, soft shutdown).
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

from gateways.logs import configure
from gateways.queue.broker import QUEUES
from gateways.settings import load_settings
from schemas.errors import VbqError


def main(arguments: list[str]) -> int:
    """Run a worker or the sweeper until told to stop; exit status 1 where the configuration is wrong."""
    try:
        settings = load_settings()
        match arguments:
            case ["work"]:
                queues = list(QUEUES.values())
            case ["work", "--queues", names]:
                queues = [name for name in names.split(",") if name]
                if unknown := sorted(set(queues) - set(QUEUES.values())):
                    sys.stderr.write(
                        f"vbq: there is no queue {', '.join(unknown)}; known: {', '.join(QUEUES.values())}\n"
                    )
                    return 2
            case ["sweep"]:
                from workers.sweeper import Sweeper

                configure(settings.log_level, "sweeper")
                return Sweeper(settings).run()
            case _:
                sys.stderr.write(__doc__ or "")
                return 2
        from workers.app import Worker

        configure(settings.log_level, "worker")
        return Worker(settings).run(queues)
    except VbqError as error:
        sys.stderr.write(f"vbq: {error.reason_code}: {error.detail}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
