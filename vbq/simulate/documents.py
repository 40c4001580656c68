"""What lies beside the DICOM files of a phantom: the true regions as a reader's, and the truth."""

import math
from typing import Any

from schemas.measurement import RegionSet
from vbq.simulate.conditions import NONE
from vbq.simulate.person import PhantomPerson, instance_uid, series_uid, study_uid
from vbq.simulate.spine import build_spine
from vbq.simulate.study import PhantomStudy


def regions_document(study: PhantomStudy, person: PhantomPerson) -> RegionSet:
    """The regions that the score takes, in the format of `vbq measure --rois`."""
    regions = study.truth.regions
    return RegionSet(
        sop_instance_uid=_slice_uid(study, person),
        levels={level: regions.bodies[level] for level in regions.used},
        csf=regions.csf,
    )


def truth_document(study: PhantomStudy, person: PhantomPerson) -> dict[str, Any]:
    """truth.json of design/CONTRACT.md, with the parameters that made the phantom."""
    truth, uid = study.truth, study_uid(study.parameters, person)
    regions = truth.regions
    return {
        "synthetic": True,
        "vbq": truth.vbq if math.isfinite(truth.vbq) else None,
        "vbq_expected": truth.expected_vbq if math.isfinite(truth.expected_vbq) else None,
        "requested_vbq": study.parameters.vbq,
        "patient_id": person.patient_id,
        "study_date": person.study_date.isoformat(),
        "study_uid": uid,
        "series_uid": series_uid(uid, study.series[0].sequence.number),
        "slice": {"sop_instance_uid": _slice_uid(study, person), "index": truth.slice_index},
        "levels": {
            level: {
                "mean": truth.body_means[level],
                "center": list(oval.center),
                "ellipse": oval.model_dump(mode="json"),
                "used": level in regions.used,
            }
            for level, oval in regions.bodies.items()
        },
        "csf": {
            level: {
                "mean": truth.csf_means[level],
                "center": list(oval.center),
                "ellipse": oval.model_dump(mode="json"),
            }
            for level, oval in regions.csf.items()
        },
        "parameters": study.parameters.model_dump(mode="json"),
        **_bodies(study),
    }


def _bodies(study: PhantomStudy) -> dict[str, Any]:
    """Where every body lies, whether a reader would measure it or not; with conditions alone."""
    parameters = study.parameters
    if parameters.conditions == NONE or parameters.conditions.part == "knee" or not study.series:
        return {}
    plane = study.series[0].planes[study.truth.slice_index]
    places = {body.level: plane.pixel_of(body.centre) for body in build_spine(parameters).vertebrae}
    rows, columns = plane.shape
    seen = {
        level: [round(row, 1), round(column, 1)]
        for level, (row, column) in places.items()
        if 0 <= row < rows and 0 <= column < columns
    }
    return {"bodies": seen} if parameters.conditions.plane == "sagittal" else {}


def _slice_uid(study: PhantomStudy, person: PhantomPerson) -> str:
    uid = study_uid(study.parameters, person)
    return instance_uid(uid, study.series[0].sequence.number, study.truth.slice_index)
