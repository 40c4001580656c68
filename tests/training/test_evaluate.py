"""The judge of the evaluation: what counts as found, and what does not."""

import numpy as np
from numpy.typing import NDArray

from training.drawn import drawn_table
from training.evaluate import components, judge, table
from vbq.imaging.network import CLASSES, SACRUM, VERTEBRAL_BODY, Network

PIXEL = (1.0, 1.0)


def reader() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """An image, a reader's labels (S1 = 9, L5 = 4, above it 2 and 7) and the network's perfect answer."""
    truth = np.zeros((200, 100), dtype=np.uint8)
    for n, top in ((7, 20), (2, 60), (4, 100), (9, 140)):
        truth[top : top + 28, 30:62] = n
    labels = np.where(truth == 9, SACRUM, np.where(truth > 0, VERTEBRAL_BODY, 0)).astype(np.uint8)
    image = (50 + truth * 5).astype(np.uint8)
    return image, truth, labels


def test_a_perfect_answer_finds_every_body_without_error() -> None:
    image, truth, labels = reader()
    result = judge(image, truth, labels, pixel=PIXEL, has_s1=True)
    assert (result.bodies, result.found, result.dice, result.l5_right, result.false_bodies) == (3, 3, 1.0, True, 0)
    assert result.roi_errors_percent == (0.0, 0.0, 0.0)


def test_a_missed_l5_is_a_body_less_and_a_wrong_number() -> None:
    image, truth, labels = reader()
    labels[truth == 4] = 0
    result = judge(image, truth, labels, pixel=PIXEL, has_s1=True)
    assert (result.found, result.l5_right) == (2, False)


def test_s1_taken_for_a_body_is_a_wrong_number() -> None:
    image, truth, labels = reader()
    labels[truth == 9] = VERTEBRAL_BODY
    assert judge(image, truth, labels, pixel=PIXEL, has_s1=True).l5_right is False


def test_two_bodies_run_together_are_not_found() -> None:
    image, truth, labels = reader()
    labels[60:128, 30:62] = VERTEBRAL_BODY
    assert judge(image, truth, labels, pixel=PIXEL, has_s1=True).found == 1


def test_a_body_in_the_belly_is_counted_as_stray() -> None:
    image, truth, labels = reader()
    labels[100:130, 70:95] = VERTEBRAL_BODY
    result = judge(image, truth, labels, pixel=PIXEL, has_s1=True)
    assert result.false_bodies == 1
    assert result.dice < 1


def test_components_come_from_below_and_leave_out_specks() -> None:
    _, _, labels = reader()
    labels[190:194, 5:9] = VERTEBRAL_BODY
    rows = [float(np.nonzero(one)[0].mean()) for one in components(labels == VERTEBRAL_BODY, PIXEL)]
    assert len(rows) == 3
    assert rows == sorted(rows, reverse=True)


def test_a_row_of_the_table_states_the_share_found() -> None:
    image, truth, labels = reader()
    labels[truth == 4] = 0
    row = table("T1", [judge(image, truth, labels, pixel=PIXEL, has_s1=True)])
    assert "2 of 3 (66.7 %)" in row
    assert "0 of 1" in row


def test_a_blank_answer_scores_nothing_on_drawn_slices() -> None:
    def blank(image: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = np.zeros((1, len(CLASSES), *image.shape[2:]), dtype=np.float32)
        answer[:, 0] = 1
        return answer

    lines = drawn_table(Network(blank), 4).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert all("0.000" in line and "1.000" not in line for line in lines[2:])
