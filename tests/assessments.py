"""Assessments to put into FHIR and onto cards: of nobody, with made-up values."""

import datetime as dt
from typing import Any

from schemas.assessment import Assessment, ModelRef, Risk
from schemas.clinical import ClinicalInput, IgnoredInput
from schemas.measurement import Acquisition, Ellipse, Measurement, Reason, Region, SliceRef

CREATED = dt.datetime(2024, 2, 1, 10, 30, tzinfo=dt.UTC)
OLD_ID = "5f0b6a4e-95a3-5b0a-8a5e-2b6a5a0f0001"
NEW_ID = "5f0b6a4e-95a3-5b0a-8a5e-2b6a5a0f0002"


def region(mean: float, **changes: Any) -> Region:
    values: dict[str, Any] = {
        "mean": mean,
        "sd": 11.0,
        "area_mm2": 310.5,
        "pixels": 402,
        "ellipse": Ellipse(center=(200.0, 250.0), semi_axes_mm=(12.0, 8.0)),
        "sop_instance_uid": "2.25.7.1.8",
    }
    return Region(**{**values, **changes})


def measurement(**changes: Any) -> Measurement:
    values: dict[str, Any] = {
        "status": "measured",
        "vbq": 4.26,
        "interval": (4.11, 4.42),
        "variants": {"median": 4.3},
        "flags": [Reason(code="csf-disagree", text="CSF levels disagree by 17 %")],
        "method": "reader",
        "algorithm": "vbq-reader-regions 0.1.0",
        "study_uid": "2.25.7",
        "series_uid": "2.25.7.1",
        "slice": SliceRef(sop_instance_uid="2.25.7.1.8", index=7),
        "levels": {
            "L1": region(310.0),
            "L2": region(322.0),
            "L3": region(335.0),
            "L4": region(290.0, used=False, reason="haemangioma, L5 stands in"),
            "L5": region(341.0, reason="stands in for L4"),
        },
        "csf": {"L1": region(76.0), "L2": region(77.0), "L3": region(78.0)},
        "acquisition": Acquisition(
            study_date="2024-01-15", manufacturer="Synthetic", field_strength_t=1.5, repetition_time_ms=520.0
        ),
        "regions_source": "regions.json",
    }
    return Measurement(**{**values, **changes})


def inputs() -> list[ClinicalInput]:
    return [
        ClinicalInput(
            name="vbq",
            label="VBQ (MRI)",
            value=4.26,
            unit="1",
            date=dt.date(2024, 1, 15),
            source="ImagingStudy/is1",
        ),
        ClinicalInput(
            name="t_score",
            label="DXA T-score, lumbar spine (L1-L4)",
            value=-2.48,
            unit="{T-score}",
            date=dt.date(2021, 12, 1),
            source="Observation/o1/_history/2",
            stale=True,
        ),
        ClinicalInput(
            name="creatinine_umol_l",
            label="Creatinine",
            value=79.56,
            unit="umol/L",
            date=dt.date(2023, 12, 1),
            source="Observation/o2#component[1]",
            note="converted from mg/dL",
        ),
        ClinicalInput(
            name="crcl_ml_min",
            label="Creatinine clearance",
            value=58.2,
            unit="mL/min",
            date=dt.date(2023, 12, 1),
            source="derived",
            how="estimated",
            note="Cockcroft-Gault",
        ),
        ClinicalInput(
            name="menopause",
            label="Menopausal status",
            value="post",
            unit="",
            date=None,
            source="derived",
            how="assumed",
            note="assumed from an age of 55 years or more",
        ),
        ClinicalInput(
            name="history_vf",
            label="History of vertebral fracture",
            value=True,
            unit="",
            date=dt.date(2020, 5, 4),
            source="Condition/c1",
            how="stated",
        ),
    ]


def assessment(**changes: Any) -> Assessment:
    values: dict[str, Any] = {
        "id": OLD_ID,
        "key": "ab" * 32,
        "patient": "Patient/p1",
        "state": "complete",
        "study": "ImagingStudy/is1",
        "measurement": measurement(),
        "inputs": inputs(),
        "ignored": [
            IgnoredInput(
                source="Observation/o9",
                about="t_score",
                date=dt.date(2019, 3, 2),
                code="too-old",
                text="older than the window",
            )
        ],
        "risk": Risk(horizon_years=5.0, risk=0.2988, lower=0.2294, upper=0.3846, risk_class="moderate"),
        "model": ModelRef(id="lin2025-vbq-t", version="1.0.0", digest="cd" * 32, inputs=["vbq", "t_score"]),
        "software": "vbq-cds 0.1.0",
        "created": CREATED,
    }
    return Assessment(**{**values, **changes})


def incomplete(**changes: Any) -> Assessment:
    return assessment(
        **{
            "state": "incomplete",
            "risk": None,
            "missing": ["t_score"],
            "reasons": [Reason(code="missing-t-score", text="no lumbar spine T-score within the window")],
            "inputs": [row for row in inputs() if row.name != "t_score"],
            **changes,
        }
    )


def needs_regions(**changes: Any) -> Assessment:
    reason = Reason(code="needs-regions", text="the study has no regions yet")
    return assessment(
        **{
            "state": "needs_regions",
            "risk": None,
            "reasons": [reason],
            "measurement": measurement(
                status="needs_regions", vbq=None, interval=None, variants={}, method=None, levels={}, csf={}, slice=None
            ),
            "inputs": [row for row in inputs() if row.name != "vbq"],
            **changes,
        }
    )


def outside_population(**changes: Any) -> Assessment:
    reason = Reason(code="man", text="the model was made for women after menopause; the record says male")
    return assessment(**{"state": "outside_population", "risk": None, "reasons": [reason], **changes})


def withdrawn(**changes: Any) -> Assessment:
    reason = Reason(code="study-deleted", text="the imaging study was deleted at its source")
    return assessment(**{"state": "withdrawn", "risk": None, "reasons": [reason], **changes})
