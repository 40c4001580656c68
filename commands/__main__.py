"""The `vbq` program. Each subcommand lives in its own file and is imported only when it is called."""

import importlib
import sys

import click

from commands.exits import as_exit_status

# Heavy libraries (lifelines, matplotlib, highdicom) must not be imported to print a help page or to score a patient.
GROUPS: dict[str, dict[str, str]] = {
    "": {
        "demo": "commands.demo:demo",
        "backfill": "commands.backfill:backfill",
        "doctor": "commands.doctor:doctor",
        "measure": "commands.measure:measure",
        "receive": "commands.receive:receive",
        "score": "commands.score:score",
        "subscribe": "commands.subscribe:subscribe",
        "subscriptions": "commands.subscribe:subscriptions",
        "up": "commands.up:up",
        "serve": "commands.processes:serve",
        "work": "commands.processes:work",
        "sweep": "commands.processes:sweep",
        "migrate": "commands.processes:migrate",
        "purge": "commands.purge:purge",
    },
    "patients": {name: f"commands.patients:{name}_" for name in ("show", "relink")},
    "simulate": {
        "study": "commands.simulate_study:simulate_study",
        "patient": "commands.simulate_patient:simulate_patient",
        "cohort": "commands.simulate_cohort:simulate_cohort",
    },
    "audit": {name: f"commands.audit:{name}" for name in ("verify", "export", "checkpoint")},
    "events": {name: f"commands.events:{name}_" for name in ("list", "show", "replay", "dead", "stats")},
    "model": {
        "fit": "commands.model_fit:fit",
        "predict": "commands.model_fit:predict",
        "validate": "commands.model_fit:validate",
        **{name: f"commands.model_sign:{name}_" for name in ("key", "sign")},
        **{name: f"commands.model_deploy:{name}_" for name in ("add", "deploy", "shadow", "rollback", "revoke")},
        **{name: f"commands.model_registry:{name}_" for name in ("list", "show", "log")},
        **{name: f"commands.model_card:{name}_" for name in ("card", "diff", "evidence", "schema")},
        "rescore": "commands.model_rescore:rescore_",
        "shadow-report": "commands.model_shadow_report:shadow_report_",
        "monitor": "commands.model_monitor:monitor_",
        "recalibrate": "commands.model_recalibrate:recalibrate_",
    },
    "ehr": {"status": "commands.ehr:status_"},
    "cards": {name: f"commands.cards:{name}" for name in ("preview", "report", "schema")},
    "cohort": {
        "build": "commands.cohort_build:build_",
        "check": "commands.cohort:check",
        "report": "commands.cohort:report",
    },
}
ABOUT = {
    "audit": "Check the audit log, hand it out as FHIR AuditEvents.",
    "cards": "Try the card policy; see what clinicians do with the cards.",
    "simulate": "Make synthetic studies, patients and cohorts.",
    "ehr": "How it goes with the FHIR servers that we speak to.",
    "events": "Look at the inbox, replay dead letters.",
    "patients": "Which records are of one person.",
    "model": "Fit, check and look at risk models.",
    "cohort": "Build, check and describe a cohort file.",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, name: str, help: str) -> None:  # noqa: A002 - click's own keyword
        super().__init__(name=name or "vbq", help=help)
        self.places = GROUPS[name]
        self.groups = [] if name else [group for group in GROUPS if group]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.places, *self.groups])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.groups:
            return Lazy(cmd_name, ABOUT[cmd_name])
        if cmd_name not in self.places:
            return None
        module, _, attribute = self.places[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def main() -> None:
    """Run the program; exit status 0 done, 1 failed or refused, 2 wrong usage."""
    program = Lazy("", "Opportunistic bone-quality assessment from MRI, DXA and labs. Research use only.")
    sys.exit(as_exit_status(program))


if __name__ == "__main__":
    main()
