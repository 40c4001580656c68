"""JPEG lossless beyond the images that a scanner makes: every shape, every predictor, many windows, and noise."""

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.dicom import jpeg_huffman
from gateways.dicom.jpeg_lossless import decode_lossless
from tests.gateways.dicom.lossless_encoder import encode_lossless


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 7), st.integers(0, 3), st.integers(0, 2**32), st.booleans()
)
def test_every_shape_comes_back(
    rows: int, columns: int, predictor: int, restart_rows: int, seed: int, steep: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 65535, 32768, 32767], (rows, columns)) if steep else rng.integers(0, 4096, (rows, columns))
    frame = encode_lossless(values, predictor=predictor, restart_rows=min(restart_rows, rows))
    assert (decode_lossless(frame, signed=False) == values).all()


@pytest.mark.parametrize("predictor", range(1, 8))
def test_codes_that_cross_windows_are_found(predictor: int) -> None:
    values = np.random.default_rng(3).integers(0, 65536, (60, 150))
    frame = encode_lossless(values, predictor=predictor)
    assert len(frame) > 5 * jpeg_huffman.WINDOW_BYTES
    assert (decode_lossless(frame, signed=False) == values).all()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2000))
def test_noise_in_the_data_is_a_value_error_or_an_image(noise: bytes, at: int) -> None:
    values = np.arange(40 * 40).reshape(40, 40)
    frame = bytearray(encode_lossless(values, predictor=1))
    frame[at : at + len(noise)] = noise
    with contextlib.suppress(ValueError):
        assert decode_lossless(bytes(frame), signed=False).ndim == 2


def test_a_slice_takes_milliseconds() -> None:
    """512 x 512 of a smooth image with noise. The bound is for a machine under load; docs/pacs.md has the figure."""
    rows, columns = np.mgrid[:512, :512]
    values = (600 + 3 * rows + columns + np.random.default_rng(1).integers(0, 16, (512, 512))) & 4095
    frame = encode_lossless(values, predictor=1)
    started = time.process_time()
    assert (decode_lossless(frame, signed=False) == values).all()
    assert time.process_time() - started < 0.2
