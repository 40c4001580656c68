"""Survival data in the order in which the partial likelihood is summed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vbq.cohort.arrays import Bools, Floats, Ints
from vbq.cohort.errors import NoFit

Ties = Literal["efron", "breslow"]
SAME_TIME = float(np.sqrt(np.finfo(np.float64).eps))


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Rows by decreasing time, so that a running sum over rows is a sum over the risk set.

    n rows, m event times ("moments", by decreasing time), d events in all.
    """

    ties: Ties
    order: Ints
    "(n,) original row of each sorted row"
    time: Floats
    "(n,) decreasing, times closer than the tolerance made equal"
    event: Bools
    "(n,)"
    moment: Ints
    "(n,) index of the first moment, by decreasing time, at which this row is at risk"
    moment_time: Floats
    "(m,) decreasing"
    last_row: Ints
    "(m,) last sorted row at risk at each moment"
    event_row: Ints
    "(d,) sorted rows that are events"
    event_moment: Ints
    "(d,)"
    fraction: Floats
    "(d,) l/d_i for the l-th of the d_i events tied at a moment (Efron), or 0 (Breslow)"
    deaths: Ints
    "(m,) events per moment"

    @property
    def n(self) -> int:
        return len(self.order)


def equal_times(time: Floats) -> Floats:
    """Times that differ by rounding alone made equal, as R's aeqSurv does (Therneau, survival 3, `timefix`)."""
    order = np.argsort(time)
    result = np.empty_like(time)
    result[order] = _levelled(time[order])
    return result


def _levelled(time: Floats) -> Floats:
    """equal_times of an increasing array."""
    if len(time) < 2:
        return time
    gap = np.diff(time)
    scale = float(np.abs(time[np.append(True, gap > 0)]).mean())
    same = (gap <= SAME_TIME) | (gap <= SAME_TIME * scale)
    if not (same & (gap > 0)).any():
        return time
    first = np.where(np.append(False, same), 0, np.arange(len(time)))
    levelled: Floats = time[np.maximum.accumulate(first)]
    return levelled


def checked(time: Floats, event: Floats | Bools) -> tuple[Floats, Bools]:
    """Times and 0/1 events fit for analysis, or NoFit in words. Negative times are refused, zero times are allowed."""
    time = np.asarray(time, dtype=np.float64)
    status = np.asarray(event, dtype=np.float64)
    if time.shape != status.shape or time.ndim != 1:
        raise NoFit(f"times and events must be two columns of one length; they have {time.shape} and {status.shape}")
    if len(time) == 0:
        raise NoFit("the cohort has no rows; check the file and the rows left after excluding missing values")
    if not (np.isfinite(time).all() and np.isfinite(status).all()):
        raise NoFit("a time or event is missing or infinite; exclude those rows or repair them first")
    if (time < 0).any():
        raise NoFit(
            f"{int((time < 0).sum())} follow-up times are negative; check the start and end dates of those rows"
        )
    if not ((status == 0) | (status == 1)).all():
        raise NoFit("events must be coded 0 (no event seen) and 1 (event); recode the event column")
    return time, status.astype(np.bool_)


def risk_sets(time: Floats, event: Floats | Bools, ties: Ties = "efron") -> RiskSets:
    """Sort, group ties. time (n,), event (n,) 0/1. Raises NoFit for times or events that cannot be analysed."""
    time, status = checked(time, event)
    if not status.any():
        raise NoFit("no row has an event, so nothing can be fitted; check the event column's coding (1 = event)")
    order = np.argsort(time)[::-1].astype(np.int64)
    time, status = _levelled(time[order[::-1]])[::-1], status[order]
    n = len(time)
    group = np.cumsum(np.append(0, time[1:] != time[:-1]))
    ends = np.append(np.flatnonzero(np.diff(group)), n - 1).astype(np.int64)
    event_row = np.flatnonzero(status).astype(np.int64)
    event_group = group[event_row]
    starts = np.append(True, event_group[1:] != event_group[:-1])
    event_groups = event_group[starts]
    event_moment = np.cumsum(starts) - 1
    deaths = np.bincount(event_moment)
    with_event = np.zeros(group[-1] + 2, dtype=np.int64)
    with_event[event_groups + 1] = 1
    first = np.concatenate(([0], np.cumsum(deaths)[:-1]))
    place = np.arange(len(event_row)) - first[event_moment]
    fraction = place / deaths[event_moment] if ties == "efron" else np.zeros(len(event_row))
    return RiskSets(
        ties=ties,
        order=order,
        time=time,
        event=status,
        moment=np.cumsum(with_event)[group],
        moment_time=time[ends[event_groups]],
        last_row=ends[event_groups],
        event_row=event_row,
        event_moment=event_moment.astype(np.int64),
        fraction=fraction.astype(np.float64),
        deaths=deaths.astype(np.int64),
    )
