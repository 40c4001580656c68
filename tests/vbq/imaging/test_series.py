"""Which series is measured, and what is said of the others."""

from dataclasses import replace

import pytest

from vbq.imaging.series import choose_series
from vbq.imaging.volume import SeriesHeader

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def codes(header: SeriesHeader) -> set[str]:
    verdict = choose_series([header]).verdicts[0]
    return {reason.code for reason in verdict.reasons} if not verdict.chosen else set()


def test_a_sagittal_t1_spin_echo_is_chosen_among_its_usual_company(header: SeriesHeader) -> None:
    t2 = replace(header, uid="t2", description="T2 sag", repetition_times_ms=(3500.0,), echo_times_ms=(100.0,))
    axial = replace(header, uid="axial", orientations=(AXIAL,))
    choice = choose_series([t2, axial, header])
    assert choice.header == header
    assert [verdict.chosen for verdict in choice.verdicts] == [False, False, True]
    assert all(verdict.reasons for verdict in choice.verdicts)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "CT"}, "not-mr"),
        ({"orientations": (AXIAL,)}, "not-sagittal"),
        ({"orientations": ()}, "no-orientation"),
        ({"contrast_agents": ("Gadovist",)}, "contrast-agent"),
        ({"contrast_volume_ml": 7.5}, "contrast-agent"),
        ({"description": "t1 sag +C"}, "contrast-agent"),
        ({"description": "SAG T1 POST"}, "contrast-agent"),
        ({"description": "T1 sag Gd"}, "contrast-agent"),
        ({"description": "t1_tse_sag_fs"}, "fat-suppressed"),
        ({"scan_options": ("FS",)}, "fat-suppressed"),
        ({"inversion_times_ms": (160.0,)}, "fat-suppressed"),
        ({"image_types": ("DERIVED", "PRIMARY", "WATER")}, "dixon-part"),
        ({"image_types": ("ORIGINAL", "PRIMARY", "OP", "OP", "DERIVED")}, "dixon-part"),
        ({"description": "t1_tse_dixon_sag_opp"}, "dixon-part"),
        ({"description": "t1_tse_dixon_sag_F"}, "dixon-part"),
        ({"description": "Sag T1 FLEX OutPhase"}, "dixon-part"),
        ({"description": "FAT: Sag T1 FLEX"}, "dixon-part"),
        ({"image_types": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "derived"),
        ({"description": "loc 3-plane"}, "localizer"),
        ({"description": "T1 sag C-spine"}, "elsewhere"),
        ({"body_parts": ("HEAD",)}, "elsewhere"),
        ({"scanning_sequence": ("GR",)}, "gradient-echo"),
        ({"echo_times_ms": (90.0,)}, "t2-timing"),
        ({"repetition_times_ms": (3000.0,)}, "not-t1-timing"),
        ({"echo_times_ms": (10.0, 20.0)}, "several-echo-times"),
        ({"description": "T2 sag"}, "description-contradicts"),
        ({"photometric": ("RGB",)}, "colour"),
        ({"photometric": ("MONOCHROME1",)}, "inverted"),
        ({"pixel_spacing_mm": (3.0, 3.0)}, "coarse"),
    ],
)
def test_what_speaks_against_a_series_is_named(header: SeriesHeader, changes: dict[str, object], code: str) -> None:
    changed = replace(header, **changes)  # type: ignore[arg-type]  # the table holds fields of every type
    assert code in codes(changed)
    assert choose_series([changed]).header is None


@pytest.mark.parametrize(
    "description",
    [
        "T1 sag",
        "t1_tse_sag",
        "SAG T1 W/O CONTRAST",
        "T1 sag non-contrast",
        "T1 pre Gd",
        "Sag T1w TSE",
        "T1 FSE sag ohne KM",
        "sT1W",
        "t1_tse_dixon_sag_in",
        "T1 IDEAL sag in phase",
        "T1 FLEX sag w/o contrast",
        "T1 dixon sag in W/O",
        "T1 sag FOV outer",
    ],
)
def test_descriptions_of_plain_t1_are_not_mistaken_for_contrast(header: SeriesHeader, description: str) -> None:
    stripped = replace(header, description=description, repetition_times_ms=(), echo_times_ms=())
    if description == "sT1W":  # a maker's prefix: only TR and TE can tell
        stripped = replace(header, description=description)
    assert choose_series([stripped]).header == stripped


@pytest.mark.parametrize(
    "description",
    [
        *(
            "T1KM",
            "T1GD",
            "T1 postGd",
            "T1 SAG POSTCONTRAST",
            "T1 con contraste",
            "T1 con mdc",
            "T1 inj",
            "T1C",
            "T1 C/C",
        ),
        *("T1 nach Kontrastmittel", "T1 APRES INJECTION", "T1 ProHance", "T1 W/WO CONTRAST", "T1 with and without Gd"),
        *("T1 pre/post Gd", "T1 с контрастом", "T1 增强", "T1 sag K.M.", "T1 w/c"),
    ],
)
def test_a_contrast_agent_is_understood_in_several_languages(header: SeriesHeader, description: str) -> None:
    assert codes(replace(header, description=description)) == {"contrast-agent"}


@pytest.mark.parametrize(
    "description",
    [
        *(
            "T1 sag vor KM",
            "T1 sans injection",
            "T1 SIN CONTRASTE",
            "T1 senza mdc",
            "T1 zonder contrast",
            "T1 без контраста",
        ),
        *(
            "T1 PRECONTRAST",
            "T1 unenhanced",
            "sag T1w w/o",
            "T1 sag posterior",
            "T1_TSE_SAG_C-",
            "T1 sag (S/C)",
            "T1 FSE",
        ),
    ],
)
def test_its_absence_is_understood_too(header: SeriesHeader, description: str) -> None:
    assert choose_series([replace(header, description=description)]).header is not None


@pytest.mark.parametrize("description", ["T1fs sag", "T1 FSAT", "T1 sat graisse", "T1 Fettsat", "T1_we", "T1 ProSet"])
def test_makers_words_of_fat_suppression_are_understood(header: SeriesHeader, description: str) -> None:
    assert codes(replace(header, description=description)) == {"fat-suppressed"}


def test_of_equals_the_first_is_taken_and_that_is_said(header: SeriesHeader) -> None:
    again = replace(header, uid="again", number=9)
    choice = choose_series([again, replace(header, number=3)])
    chosen, other = choice.verdicts[1], choice.verdicts[0]
    assert chosen.chosen
    assert "first-of-equals" in {reason.code for reason in chosen.reasons}
    assert "first-of-equals" not in {reason.code for reason in other.reasons}


def test_t1_flair_counts_as_t1_and_ranks_below_a_spin_echo(header: SeriesHeader) -> None:
    flair = replace(
        header, uid="flair", scanning_sequence=("IR", "SE"), repetition_times_ms=(2200.0,), inversion_times_ms=(860.0,)
    )
    assert choose_series([flair]).header == flair
    assert choose_series([flair, header]).header == header


def test_without_timing_the_description_alone_decides_and_says_so(header: SeriesHeader) -> None:
    stripped = replace(header, description="T1", repetition_times_ms=(), echo_times_ms=(), modality=None)
    verdict = choose_series([stripped]).verdicts[0]
    assert verdict.chosen
    assert {"t1-by-description", "modality-not-stated"} <= {reason.code for reason in verdict.reasons}
    silent = replace(stripped, description=None)
    assert codes(silent) == {"weighting-unknown"}


def test_t1_taken_after_a_contrast_series_is_refused_though_its_tags_are_silent(header: SeriesHeader) -> None:
    before = replace(header, uid="before", acquisition_time="100000")
    injected = replace(header, uid="injected", contrast_agents=("Dotarem",), acquisition_time="101000")
    after = replace(header, uid="after", acquisition_time="102000")
    choice = choose_series([after, injected, before])
    assert choice.header == before
    assert "after-contrast" in {reason.code for reason in choice.verdicts[0].reasons}


def test_contrast_given_before_midnight_counts_after_it(header: SeriesHeader) -> None:
    injected = replace(header, uid="i", contrast_agents=("Dotarem",), acquisition_time="235500")
    after = replace(header, uid="after", acquisition_time="000500", acquisition_date="20240103")
    dated = replace(injected, acquisition_date="20240102")
    assert choose_series([dated, after]).header is None
    assert choose_series([replace(injected, acquisition_date="20240103"), after]).header == after


def test_a_reader_s_slice_decides_between_two_good_series_but_never_for_a_bad_one(header: SeriesHeader) -> None:
    one = replace(header, uid="one", sop_instance_uids=("2.25.10",), repetition_times_ms=())
    two = replace(header, uid="two", sop_instance_uids=("2.25.20",))
    t2 = replace(header, uid="t2", sop_instance_uids=("2.25.30",), echo_times_ms=(100.0,))
    series = [one, two, t2]
    assert choose_series(series, sop_instance_uid="2.25.10").header == one
    assert choose_series(series, sop_instance_uid="2.25.20").header == two
    assert choose_series(series, sop_instance_uid="2.25.30").header == two
