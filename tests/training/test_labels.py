"""Targets: one class, or one of several."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.generator.labels import BODY, CANAL, CLASSES, CSF, SACRUM, as_labels, as_targets, bit, certain


@given(st.lists(st.integers(0, len(CLASSES) - 1), min_size=1, max_size=30))
def test_a_label_survives_the_way_to_a_target_and_back(labels: list[int]) -> None:
    targets = as_targets(np.array(labels))
    assert certain(targets).all()
    assert as_labels(targets).tolist() == labels


def test_a_target_with_two_answers_is_not_certain() -> None:
    targets = np.array([bit(BODY, SACRUM), bit(CANAL, CSF), bit(BODY)], dtype=np.uint8)
    assert certain(targets).tolist() == [False, False, True]
    assert as_labels(targets).tolist() == [BODY, CANAL, BODY]
