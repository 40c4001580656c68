"""The wording of a card in one language: texts of the card policy, numbers and dates as that language writes them.

The catalogue is part of the card policy (YAML) and not gettext: wording and thresholds are reviewed together, a site
changes both in one file, no compiler is needed, and placeholders are checked when the file is read. English dates stay
ISO 8601, since 03/04/2024 is two days in two English-speaking countries.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple, cast, get_args

from schemas.assessment import Risk
from schemas.card_policy import CardPolicy
from schemas.clinical import ClinicalInput
from schemas.config import Language
from schemas.wording import number as plain_number
from services.markdown import escaped

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


class Habits(NamedTuple):
    """How a language writes numbers and days."""

    decimal: str
    percent: str
    day: str
    comma: str


_HABITS: Final[dict[Language, Habits]] = {
    "en": Habits(".", "{} %", "{y:04d}-{m:02d}-{d:02d}", ", "),
    "de": Habits(",", "{} %", "{d:02d}.{m:02d}.{y:04d}", ", "),
    "fr": Habits(",", "{} %", "{d:02d}/{m:02d}/{y:04d}", ", "),
    "es": Habits(",", "{} %", "{d:02d}/{m:02d}/{y:04d}", ", "),
    "zh": Habits(".", "{}%", "{y}年{m}月{d}日", "、"),
}
_UNITS: Final = {"1": "", "": "", "{T-score}": "", "{score}": "", "{ratio}": "", "umol/L": "µmol/L"}


class Locale:
    """One language's words."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts
        self._habits = _HABITS[language]

    def text(self, key: str, **values: str) -> str:
        """The text called `key` with its placeholders filled. KeyError where the catalogue has none."""
        return self._texts[key].format(**values) if values else self._texts[key]

    def has(self, key: str) -> bool:
        return key in self._texts

    def decimals(self, value: str) -> str:
        """A number written with a point, as this language writes it."""
        return value.replace(".", self._habits.decimal)

    def percent(self, probability: float) -> str:
        """0.2988 as `29.9 %` or `29,9 %`."""
        return self._habits.percent.format(self.decimals(f"{100 * probability:.1f}"))

    def day(self, day: dt.date) -> str:
        return self._habits.day.format(y=day.year, m=day.month, d=day.day)

    def joined(self, parts: list[str]) -> str:
        return self._habits.comma.join(parts)

    def risk_class(self, risk: Risk) -> str:
        return self.text(f"class.{risk.risk_class}")

    def interval(self, risk: Risk) -> str:
        """`95 % interval 22.9 % to 38.5 %`, the low end without its sign where the language drops it."""
        return self.text(
            "interval",
            level=self._habits.percent.format(f"{100 * risk.level:.0f}"),
            low=self.decimals(f"{100 * risk.lower:.1f}"),
            high=self.percent(risk.upper),
        )

    def name(self, name: str) -> str:
        """What an input is called; an unknown name as it is."""
        key = f"input.{name}"
        return self._texts.get(key, name)

    def value(self, row: ClinicalInput) -> str:
        """The value with its unit: `-2.48`, `79,6 µmol/L`, `ja`."""
        if isinstance(row.value, bool):
            return self.text("value.yes" if row.value else "value.no")
        if isinstance(row.value, str):
            return self._texts.get(f"value.{row.value}", row.value)
        digits = f"{row.value:.2f}" if row.name == "vbq" else plain_number(row.value)
        if row.unit == "a":
            return self.text("value.years", n=self.decimals(digits))
        unit = _UNITS.get(row.unit, row.unit)
        return f"{self.decimals(digits)} {unit}" if unit else self.decimals(digits)

    def reason(self, code: str, text: str) -> str:
        """A reason by its code in this language; where the catalogue has none, its English text. Escaped."""
        if self.language == "en":
            return escaped(text)
        if code.startswith("missing-"):
            return escaped(self.text("reason.missing", name=self.name(code.removeprefix("missing-").replace("-", "_"))))
        return escaped(self._texts.get(f"reason.{code}", text))


def locales_of(policy: CardPolicy) -> dict[Language, Locale]:
    """Every language of the policy."""
    return {language: Locale(language, texts) for language, texts in policy.texts.items()}


def choose(
    locales: Mapping[Language, Locale], *, stated: Language | None, accepted: str | None, default: Language
) -> Locale:
    """The client's configured language, else the best of an Accept-Language header, else the policy's."""
    if stated is not None and stated in locales:
        return locales[stated]
    ranked = sorted(_ranges(accepted or ""), key=lambda row: -row[1])
    for language, weight in ranked:
        if weight > 0 and language in locales:
            return locales[cast("Language", language)]
    return locales[default]


def _ranges(header: str) -> list[tuple[str, float]]:
    """(primary language, weight) of each range of an Accept-Language header; nonsense is passed over."""
    found = []
    for part in header[:200].split(","):
        tag, _, rest = part.strip().partition(";")
        weight = rest.strip().removeprefix("q=") if rest else "1"
        try:
            found.append((tag.strip().lower().partition("-")[0], float(weight)))
        except ValueError:
            continue
    return found
