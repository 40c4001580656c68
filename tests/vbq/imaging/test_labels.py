"""What readers write beside a region, and what it means."""

import pytest

from vbq.imaging.labels import Label, read_label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("L1", Label("body", "L1")),
        ("L1 vertebra", Label("body", "L1")),
        ("vertebrae_L3", Label("body", "L3")),
        ("LWK 4", Label("body", "L4")),
        ("1. LWK", Label("body", "L1")),
        ("2. Lendenwirbelkörper", Label("body", "L2")),
        ("12. BWK", Label("body", "T12")),
        ("Liquor 3. LWK", Label("csf", "L3")),
        ("ＣＳＦ\u00a0Ｌ２", Label("csf", "L2")),  # full-width, as East Asian keyboards write it
        ("fluid at L1", Label("csf", "L1")),
        ("thecal sac L1", Label("other", None)),
        ("Duralsack LWK 1", Label("other", None)),
        ("BWK12", Label("body", "T12")),
        ("Th12", Label("body", "T12")),
        ("S1", Label("body", "S1")),
        ("lumbar vertebra 2", Label("body", "L2")),
        ("Third lumbar vertebra", Label("body", "L3")),
        ("CSF L2", Label("csf", "L2")),
        ("L4_csf", Label("csf", "L4")),
        ("Liquor L3", Label("csf", "L3")),
        ("LCR L1", Label("csf", "L1")),
        ("脑脊液 L2", Label("csf", "L2")),
        ("Lendenwirbel 1", Label("body", "L1")),
        ("Lendenwirbelkörper 2", Label("body", "L2")),
        ("Brustwirbel 12", Label("body", "T12")),
        ("vertèbre lombaire 3", Label("body", "L3")),
        ("腰椎4", Label("body", "L4")),
        ("第二腰椎", Label("body", "L2")),
        ("胸12椎体", Label("body", "T12")),
        ("脑脊液 腰1", Label("csf", "L1")),
        ("L1csf", Label("csf", "L1")),
        ("CSFL2", Label("csf", "L2")),
        ("CSF1", Label("csf", None)),
        ("腰1/2椎间盘", Label("other", None)),
        ("腰椎1-2", Label("other", None)),
        ("csf", Label("csf", None)),
        ("cerebrospinal fluid", Label("csf", None)),
        ("L1/2", Label("other", None)),
        ("L1-L2", Label("other", None)),
        ("L4/5 disc", Label("other", None)),
        ("L2 disc", Label("other", None)),
        ("spinal canal L2", Label("other", None)),
        ("T1", Label(None, None)),
        ("L6", Label(None, None)),
        ("L12", Label(None, None)),
        ("0016-0176", Label(None, None)),
        ("cornerstoneTools@^4.0.0:EllipticalRoi", Label(None, None)),
        ("", Label(None, None)),
    ],
)
def test_a_label_means_what_a_radiologist_reads_in_it(text: str, label: Label) -> None:
    assert read_label([text]) == label


def test_codes_of_dicom_say_it_without_words() -> None:
    assert read_label([], [("SCT", "36470004")]) == Label("body", "L3")
    assert read_label([], [("SCT", "36470004"), ("SCT", "65216001")]) == Label("csf", "L3")
    assert read_label([], [("99X", "36470004")]) == Label(None, None)


def test_two_levels_in_one_region_s_texts_mean_neither() -> None:
    assert read_label(["L1", "L2"]) == Label("other", None)
