"""The answer to a hook as bytes. A stored assessment says the same at each call, so what it says is kept."""

import datetime as dt
import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from gateways.records.results import PatientView
from gateways.registry.models import Models
from schemas.assessment import ModelRef
from schemas.card_policy import CardPolicy, Trigger
from schemas.cds import Hook, HookResponse
from schemas.config import Language
from schemas.errors import ModelRefused
from services.answers import dumps
from services.card_ids import card_id, with_clinician
from services.cards import NOTHING_MORE, Extras, cards_for
from services.locales import Locale
from services.orders import Moment
from vbq.assess import recalled

KEPT: Final = 2048  # some 4 kB each
CAUTIONS_KEPT: Final = 64
_NOBODY: Final = "0" * 16


class Answer(NamedTuple):
    """The body, and the indicator of each card in it."""

    body: bytes
    indicators: tuple[str, ...]


NO_CARDS: Final = Answer(dumps(HookResponse().document()), ())
_Key = tuple[str, dt.datetime, Hook, Trigger, frozenset[Trigger], bool, Language, Extras]


class CardAnswers:
    """Makes answers and keeps those that rest on a stored assessment alone. Safe to share between threads."""

    def __init__(self, models: Models, base_url: str, policy: CardPolicy) -> None:
        self._models = models
        self._base_url = base_url
        self._policy = policy
        self._guard = threading.Lock()
        self._kept: OrderedDict[_Key, Answer] = OrderedDict()
        self._cautions: dict[str, str] = {}

    def of(
        self,
        view: PatientView,
        moment: Moment,
        locale: Locale,
        *,
        clinician: str,
        hook_instance: str,
        extras: Extras = NOTHING_MORE,
    ) -> Answer:
        """The answer to one call. Cards differ between clinicians by their id alone, which is put in afterwards."""
        view = self._without_revoked(view)
        stored = view.brief
        if stored is None:
            return self._made(view, moment, locale, hook_instance, extras)
        # with its moment: an id may come back with another content
        said = (stored.id, stored.created)
        key = (*said, moment.hook, moment.trigger, moment.kinds, view.in_progress, locale.language, extras)
        with self._guard:
            answer = self._kept.get(key)
            if answer is not None:
                self._kept.move_to_end(key)
        if answer is None:
            answer = self._made(view, moment, locale, hook_instance, extras)
            with self._guard:
                self._kept[key] = answer
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        if not answer.indicators:
            return answer
        nobodys = card_id(stored.id, moment.hook, moment.trigger, _NOBODY).encode()
        theirs = with_clinician(nobodys, clinician)
        return Answer(answer.body.replace(nobodys, theirs, 1), answer.indicators)

    def _without_revoked(self, view: PatientView) -> PatientView:
        """No number of a model that was revoked is shown, also in the seconds before a worker has taken it back."""
        if view.brief is None:
            return view
        try:
            revoked = self._models.state().revoked
        except ModelRefused:
            return view  # the log cannot be read: what is stored stands, and says who spoke
        shown = view.assessment if revoked else None
        if shown is None or shown.risk is None or shown.model.digest not in revoked:
            return view
        return view.showing(recalled(shown, as_of=shown.created, software=shown.software))

    def _made(self, view: PatientView, moment: Moment, locale: Locale, hook_instance: str, extras: Extras) -> Answer:
        assessment = view.assessment
        cards = cards_for(
            assessment,
            known=view.known,
            in_progress=view.in_progress,
            moment=moment,
            hook_instance=hook_instance,
            base_url=self._base_url,
            policy=self._policy,
            locale=locale,
            clinician=_NOBODY,
            caution=self._caution(assessment.model) if assessment else None,
            extras=extras,
        )
        return Answer(dumps(HookResponse(cards=cards).document()), tuple(card.indicator for card in cards))

    def _caution(self, model: ModelRef) -> str | None:
        """The sentence that exactly this model file wants on its cards; None where that file is not to be had.

        Opening a model means checking its signature, so the sentence is kept; its absence is not: it may come back.
        """
        kept = self._cautions.get(model.digest)
        if kept is None and (kept := self._read_caution(model)) is not None:
            if len(self._cautions) >= CAUTIONS_KEPT:
                self._cautions.clear()
            self._cautions[model.digest] = kept
        return kept

    def _read_caution(self, model: ModelRef) -> str | None:
        try:
            found = self._models.get(model.digest)
        except ModelRefused:
            return None  # revoked or replaced since: the card still names it
        return found.artefact.caution if found.digest == model.digest else None
