"""A dry run of a hook call: `python -m services.preview`, a JSON request on stdin, a JSON answer on stdout.

For `vbq cards preview`: the cards that a given request would get from the stored results under a given policy. Nothing
is fetched, nothing is written, and nobody has to prove who they are: whoever can read the database may see its cards.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateways.card_policy import card_policy
from gateways.records.feedback import is_quiet
from gateways.settings import Settings, load_settings
from schemas.cds import read_request
from schemas.errors import NotAcceptable, VbqError
from services.card_answers import CardAnswers
from services.card_ids import HOOKS, clinician_tag
from services.cards import Extras
from services.first_answers import Call, FirstAnswers
from services.locales import choose, locales_of
from services.orders import Orders
from services.outside import Outside, connect

DISTRIBUTION = "vbq-cds"


def preview(settings: Settings, outside: Outside, asked: dict[str, Any], *, now: float) -> dict[str, Any]:
    """The answer to `asked`: {"patient" key, "request" of CDS Hooks, "language" or null, "policy" file or null}."""
    config = settings.structured()
    policy = card_policy(Path(asked["policy"]) if asked.get("policy") else config.cds.policy_file)
    request = read_request(asked["request"])
    hook = next((name for name in HOOKS if name == request.hook), None)
    if hook is None:
        raise NotAcceptable(f"the hook must be one of {', '.join(HOOKS)}", code="not-cds-hooks")
    orders, locales = Orders(policy), locales_of(policy)
    moment = orders.moment(hook, request.context.draft_orders, request.context.selections)
    patient: str = asked["patient"]
    clinician = clinician_tag(patient, request.context.user_id)
    view = outside.results.view(patient)
    firsts = FirstAnswers(
        database=outside.database,
        results=outside.results,
        models=outside.models,
        kickoff=None,
        reads=outside.reads,
        orders=orders,
        merge=config.merge,
        fetch_seconds=0.0,
        software=f"{DISTRIBUTION} {version(DISTRIBUTION)}",
    )
    base = patient.rpartition("/Patient/")[0] or None
    call = Call(
        patient, request.context.patient_id, "preview", base, base is not None, dict(request.prefetch or {}), None
    )
    wants = "fracture_liaison" in policy.show[moment.trigger].suggestions
    found = firsts.look(view, call, wants_treatment=wants)
    ruling = outside.feedback.ruling(patient, clinician, moment.phase, client="preview")
    shown = found.view.brief
    silenced = shown is not None and is_quiet(ruling, shown, now=now, quiet_days=policy.quiet_days)
    made = CardAnswers(outside.models, settings.base_url, policy).of(
        found.view,
        moment,
        choose(locales, stated=asked.get("language"), accepted=None, default=policy.language),
        clinician=clinician,
        hook_instance=request.hook_instance,
        extras=Extras(found.first, found.not_had, found.treatment),
    )
    return {
        "policy": policy.reviewed,
        "trigger": moment.trigger,
        "known": view.known,
        "state": shown.state if shown is not None else None,
        "first_answer": found.first,
        "silenced": silenced,
        "cards": json.loads(made.body)["cards"],
    }


def main() -> int:
    """0 and the answer, or 1 and a sentence on stderr."""
    import time

    try:
        settings = load_settings()
        outside = connect(settings)
        try:
            answer = preview(settings, outside, json.load(sys.stdin), now=time.time())
        finally:
            outside.close()
    except VbqError as error:
        sys.stderr.write(f"vbq: {error.reason_code}: {error.detail}\n")
        return 1
    json.dump(answer, sys.stdout, ensure_ascii=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
