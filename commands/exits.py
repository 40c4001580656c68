"""How errors leave the `vbq` program: a sentence on stderr and an exit status. One JSON document on stdout at most."""

import json
import sys
from typing import Any

import click

from schemas.errors import NotAcceptable, VbqError

DONE, FAILED, WRONG_USAGE = 0, 1, 2


def as_exit_status(program: click.Command) -> int:
    """Run `program` on sys.argv: 0 done, 1 the thing itself failed or was refused, 2 wrong usage."""
    try:
        status = program.main(prog_name="vbq", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USAGE
    except click.UsageError as error:
        error.show()
        return WRONG_USAGE
    except click.ClickException as error:
        error.show()
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("vbq: stopped", err=True)
        return 130
    except VbqError as error:
        click.echo(f"vbq: {error.reason_code}: {error.detail}", err=True)
        if isinstance(error, NotAcceptable):
            for issue in error.issues:
                click.echo(f"  at {issue.path}: {issue.text}", err=True)
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    return status if isinstance(status, int) else DONE


def print_json(document: Any) -> None:
    """Exactly one JSON document on stdout; NaN and infinities are refused, they are not JSON."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
