"""The answer to a hook as bytes. A stored assessment says the same at each call, so what it says is kept."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from gateways.models import Models
from gateways.results import PatientView
from schemas.assessment import Assessment, ModelRef
from schemas.cds import Hook, HookResponse
from schemas.errors import ModelRefused
from services.answers import dumps
from services.cards import cards_for

KEPT = 512  # some 4 kB each
CAUTIONS_KEPT = 64


class Answer(NamedTuple):
    """The body, and the indicator of each card in it."""

    body: bytes
    indicators: tuple[str, ...]


class CardAnswers:
    """Makes answers and keeps those that rest on a stored assessment alone. Safe to share between threads."""

    def __init__(self, models: Models, base_url: str) -> None:
        self._models = models
        self._base_url = base_url
        self._guard = threading.Lock()
        self._kept: OrderedDict[tuple[str, Hook, bool], tuple[Assessment, Answer]] = OrderedDict()
        self._cautions: dict[str, str | None] = {}

    def of(self, view: PatientView, hook: Hook, hook_instance: str) -> Answer:
        """The answer to one call of `hook`."""
        assessment = view.assessment
        if assessment is None:
            return self._made(view, hook, hook_instance)
        key = (assessment.id, hook, view.in_progress)
        with self._guard:
            kept = self._kept.get(key)
            if kept is not None and kept[0] is assessment:  # an id may come back with another content: compare
                self._kept.move_to_end(key)
                return kept[1]
        answer = self._made(view, hook, hook_instance)
        with self._guard:
            self._kept[key] = (assessment, answer)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _made(self, view: PatientView, hook: Hook, hook_instance: str) -> Answer:
        cards = cards_for(
            view.assessment,
            known=view.known,
            in_progress=view.in_progress,
            hook=hook,
            hook_instance=hook_instance,
            base_url=self._base_url,
            caution=self._caution(view.assessment.model) if view.assessment else None,
        )
        return Answer(dumps(HookResponse(cards=cards).document()), tuple(card.indicator for card in cards))

    def _caution(self, model: ModelRef) -> str | None:
        """The sentence that exactly this model file wants on its cards; None where that file is no longer there.

        Opening a model means checking its signature, so the sentence is kept.
        """
        if model.digest not in self._cautions:
            if len(self._cautions) >= CAUTIONS_KEPT:
                self._cautions.clear()
            self._cautions[model.digest] = self._read_caution(model)
        return self._cautions[model.digest]

    def _read_caution(self, model: ModelRef) -> str | None:
        try:
            found = self._models.get(model.id)
        except ModelRefused:
            return None  # revoked or replaced since: the card still names it
        return found.artefact.caution if found.digest == model.digest else None
