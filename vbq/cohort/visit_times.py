"""Does the time column hold the time of the event, or the time of the visit at which it was looked for?"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from vbq.cohort.arrays import Bools, Floats

FEWEST_EVENTS = 5
LATE = 0.5
"""Events all later than this share of the median follow-up: true event times begin soon after baseline."""
ALIKE = 0.05
"""Smallest p of a rank test at which the follow-up of the two groups counts as equal."""
HARDLY_APART = 0.1
"""In a large cohort the smallest difference is significant: follow-up is also alike where the chance that a person
with the event was followed longer than one without lies this close to one half."""


@dataclass(frozen=True, slots=True)
class VisitTimes:
    """What was found. Times in the unit of the column."""

    recognised: bool
    first_event: float
    median_follow_up: float
    mean_with_event: float
    mean_without_event: float
    p_equal: float

    @property
    def sentence(self) -> str:
        """Why the times look like visits, and what to do."""
        return (
            f"the time column holds visits, not events: no event before {self.first_event:.3g} although the median "
            f"follow-up is {self.median_follow_up:.3g}, and follow-up is alike with and without the event "
            f"(mean {self.mean_with_event:.3g} and {self.mean_without_event:.3g}). A Cox "
            "baseline from such times says that nothing can happen before the first visit and its hazard ratios are "
            "shrunk, so it is not served as a risk; fit with --kind current-status"
        )


def look_for_visit_times(time: Floats, event: Floats | Bools) -> VisitTimes:
    """Recognise current-status data by two signs at once: no early event, and follow-up alike in both groups.

    time (n,), event (n,). One sign alone proves nothing: exponential events under exponential censoring also have
    equal follow-up, but their first events come early.
    """
    status = np.asarray(event).astype(bool)
    with_event, without = time[status], time[~status]
    median = float(np.median(time))
    first = float(with_event.min(initial=np.inf))
    p, longer = 1.0, 0.5
    if len(with_event) and len(without):
        test = mannwhitneyu(with_event, without)
        p, longer = float(test.pvalue), float(test.statistic) / (len(with_event) * len(without))
    alike = p > ALIKE or abs(longer - 0.5) < HARDLY_APART
    late = bool(len(with_event) >= FEWEST_EVENTS and len(without) > 0 and first > LATE * median)
    return VisitTimes(
        recognised=late and alike,
        first_event=first,
        median_follow_up=median,
        mean_with_event=float(with_event.mean()) if len(with_event) else float("nan"),
        mean_without_event=float(without.mean()) if len(without) else float("nan"),
        p_equal=p,
    )
