"""The Retry-After header: how long another system asks us to wait."""

import datetime as dt
import email.utils
import re

_SECONDS = re.compile(r"[0-9]{1,9}")


def retry_after_s(text: str | None, *, now: float) -> float | None:
    """Retry-After in seconds from `now` (seconds since 1970): a number or an HTTP date; None where it is neither."""
    if text is None:
        return None
    stated = text.strip()
    if _SECONDS.fullmatch(stated):
        return float(stated)
    try:
        moment = email.utils.parsedate_to_datetime(stated)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": UTC, says RFC 5322
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, moment.timestamp() - now)
