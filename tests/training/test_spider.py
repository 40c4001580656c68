"""Partial answers from SPIDER masks, on a drawn mask of the same make."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from training.generator.labels import BACKGROUND, BODY, CANAL, CSF, DISC, SACRUM, bit
from training.generator.sample import SIDE
from training.spider import SpiderSlices, targets_of

VERTEBRA, DISC_GREY, CANAL_GREY = 76, 29, 150


def column_of_vertebrae(rows: int, columns: int, pitch: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A straight spine with posterior elements: a T2-like image and its mask."""
    mask = np.zeros((rows, columns), dtype=np.uint8)
    left, depth = columns // 2 - pitch, pitch
    for top in range(pitch, rows - 2 * pitch, pitch):
        mask[top : top + int(0.7 * pitch), left : left + depth] = VERTEBRA
        mask[top + int(0.7 * pitch) : top + pitch, left : left + depth] = DISC_GREY
        mask[top : top + pitch // 2, left + int(1.8 * depth) : left + int(2.3 * depth)] = VERTEBRA
    mask[pitch : rows - 2 * pitch, left + depth + 2 : left + int(1.5 * depth)] = CANAL_GREY
    image = np.full(mask.shape, 40, dtype=np.uint8)
    image[mask == VERTEBRA] = 90
    image[mask == CANAL_GREY] = 220
    return image, mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for person in range(8):
        image, mask = column_of_vertebrae(640, 512, 76)
        Image.fromarray(image).save(tmp_path / "images" / f"{100 + person}_t2_slice1.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{100 + person}_t2_slice1.png")
    return tmp_path


def test_posterior_elements_are_background_and_bodies_are_bodies() -> None:
    image, mask = column_of_vertebrae(SIDE, SIDE, 30)
    targets = targets_of(image.astype(np.float32), mask)
    behind = (mask == VERTEBRA) & (np.arange(SIDE) > SIDE // 2 + 15)
    ahead = (mask == VERTEBRA) & (np.arange(SIDE) < SIDE // 2)
    beside_canal = (mask == CANAL_GREY).any(axis=1)[:, None]
    cortex = ahead & ~binary_erosion(ahead)
    assert set(np.unique(targets[ahead & ~cortex])) == {bit(BODY)}
    assert set(np.unique(targets[cortex])) == {bit(BACKGROUND, BODY)}
    assert not (targets[behind & beside_canal] & bit(BODY)).any()
    assert (targets[mask == DISC_GREY] == bit(DISC)).all()


def test_the_bright_part_of_a_t2_canal_is_csf_and_roots_are_not() -> None:
    image, mask = column_of_vertebrae(SIDE, SIDE, 30)
    canal = np.argwhere(mask == CANAL_GREY)
    row, column = canal[len(canal) // 2]
    image[row, column] = 60
    targets = targets_of(image.astype(np.float32), mask)
    assert targets[row, column] == bit(CANAL)
    assert (targets[mask == CANAL_GREY] == bit(CSF)).mean() > 0.9


def test_below_the_lowest_vertebra_everything_but_a_body_is_allowed() -> None:
    image, mask = column_of_vertebrae(SIDE, SIDE, 30)
    targets = targets_of(image.astype(np.float32), mask)
    assert (targets[-1] == bit(BACKGROUND, SACRUM, DISC, CANAL, CSF)).all()


def test_nobody_is_both_trained_on_and_held_back(folder: Path) -> None:
    trained, held = SpiderSlices.load(folder, held_back=False), SpiderSlices.load(folder, held_back=True)
    assert len(trained.slices) + len(held.slices) == 8
    assert len(held.slices) == 2
    assert all(pitch == pytest.approx(76, abs=1) for _, _, pitch in trained.slices)


def test_a_drawn_slice_has_the_networks_size_and_keeps_its_vertebrae(folder: Path) -> None:
    spider = SpiderSlices.load(folder, held_back=False)
    rng = np.random.default_rng(0)
    for _ in range(5):
        image, targets = spider.draw(rng)
        assert image.shape == targets.shape == (SIDE, SIDE)
        assert image.min() >= 0
        assert (targets == bit(BODY)).sum() > 1000
