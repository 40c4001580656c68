"""A phantom with a reader's regions, open."""

from pathlib import Path

import pytest

from gateways.dicom.study import open_study
from gateways.rois import regions_beside
from tests.gateways.rois.producers import Drawn


@pytest.fixture(scope="session")
def drawn(small_study: Path) -> Drawn:
    """The phantom's regions and the slice they lie on."""
    beside = regions_beside(small_study)
    assert beside is not None
    return Drawn(open_study(small_study), beside[0])
