"""The 31 source attributes (45 CFR 170.315(b)(11)(iv)(B)) of lin2025-vbq-t; None is shown as "not available".

Names after secondary copies of the regulation: check them against the eCFR before a legal filing.
"""

from typing import Final

from schemas.model import SourceAttribute

# number and name
NAMES: Final[tuple[tuple[str, str], ...]] = (
    ("1.i", "Name and contact information for the intervention developer"),
    ("1.ii", "Funding source of the technical implementation for the intervention's development"),
    ("1.iii", "Description of the value that the intervention produces as an output"),
    ("1.iv", "Whether the output is a prediction, classification, recommendation, evaluation, analysis or other"),
    ("2.i", "Intended use of the intervention"),
    ("2.ii", "Intended patient population(s) for the intervention's use"),
    ("2.iii", "Intended user(s)"),
    ("2.iv", "Intended decision-making role (e.g. informs, augments, replaces clinical management)"),
    ("3.i", "Tasks, situations or populations where a user is cautioned against applying the intervention"),
    ("3.ii", "Known risks, inappropriate settings, inappropriate uses, or known limitations"),
    ("4.i", "Exclusion and inclusion criteria that influenced the training data set"),
    ("4.ii", "Use of variables in paragraph (b)(11)(iv)(A)(5)-(13) as input features"),
    ("4.iii", "Demographic representativeness according to those variables, at a minimum those used as input features"),
    ("4.iv", "Relevance of the training data to the intended deployed setting"),
    ("5.i", "Approach taken to ensure that the intervention's output is fair"),
    ("5.ii", "Approaches to manage, reduce or eliminate bias"),
    ("6.i", "Data source, clinical setting or environment where validity and fairness were assessed externally"),
    ("6.ii", "Party that conducted the external testing"),
    ("6.iii", "Demographic representativeness of the external data"),
    ("6.iv", "Description of the external validation process"),
    ("7.i", "Validity in test data derived from the same source as the initial training data"),
    ("7.ii", "Fairness in test data derived from the same source as the initial training data"),
    ("7.iii", "Validity in data external to or from a different source than the initial training data"),
    ("7.iv", "Fairness in data external to or from a different source than the initial training data"),
    ("7.v", "References to evaluation of use of the intervention on outcomes"),
    ("8.i", "Process and frequency by which the intervention's validity is monitored over time"),
    ("8.ii", "Validity of the intervention in local data"),
    ("8.iii", "Process and frequency by which the intervention's fairness is monitored over time"),
    ("8.iv", "Fairness of the intervention in local data"),
    ("9.i", "Process and frequency by which the intervention is updated"),
    ("9.ii", "Frequency by which performance is corrected when risks related to validity and fairness are identified"),
)

_KNOWN: Final[dict[str, str]] = {
    "1.i": "The vbq-cds project derived the model from print; the authors of the paper have no part in it. "
    "A contact is to be named by the organisation that deploys it.",
    "1.iii": "The probability of a new or worsened vertebral fracture within five years, with a 95 % interval, "
    "and a word (low, moderate, high) chosen by thresholds of 15 % and 30 % that are for display only.",
    "1.iv": "Prediction",
    "2.i": "Research: to show what a published cohort suggests about the five-year risk of vertebral fracture to a "
    "clinician who already looks at a lumbar MRI and a DXA. Not a cleared medical device.",
    "2.ii": "Women after menopause with a lumbar-spine T-score and a contrast-free sagittal T1 MRI of the"
    " lumbar spine.",
    "2.iii": "Clinicians and researchers who know the study's limits.",
    "2.iv": "Informs; does not replace clinical management.",
    "3.i": "Men; women before menopause; metabolic bone disease, bone cancer, spinal instrumentation, spinal "
    "infection, severe deformity, high-energy trauma; T-scores of other sites than the lumbar spine; "
    "contrast-enhanced images; patients under treatment for osteoporosis (treatment was not recorded). Of "
    "these the software recognises by code, where the record has it: sex, menopausal state, secondary "
    "malignancy of bone, multiple myeloma, primary hyperparathyroidism, Paget's disease and scoliosis. "
    "Spinal instrumentation, infection, trauma and treatment are left to the reader.",
    "3.ii": "137 women of one centre; never validated. The baseline and the covariance of the estimates are not "
    "in print and were derived by calibration under a constant hazard. Event times look like the times of"
    " the final radiograph, which shrinks hazard ratios. VBQ depends on scanner and sequence: all images "
    "came from one 1.5 T machine. The paper contradicts itself in several figures. Death before a "
    "fracture is not accounted for.",
    "4.i": "Included: women after menopause with DXA and lumbar MRI at baseline (2012 to 2015) and a radiograph "
    "after more than five years. Excluded: metabolic bone disease or bone cancer, spinal instrumentation, "
    "spinal infection, severe deformity, high-energy trauma, MR images of unsatisfactory quality, no final"
    " follow-up.",
    "4.ii": "None as a predictor. Sex and age decide whether a patient belongs to the population.",
    "4.iii": "Women only; mean age 67 years (SD 9.3); one hospital in Foshan, China. Race, ethnicity, language "
    "and social determinants are not reported.",
    "4.iv": "Patients of a spine service, of whom 53 % had osteoporosis and 36 % an earlier vertebral fracture: "
    "their risk is higher than that of women who have an MRI for other reasons.",
    "6.i": "None",
    "7.v": "None known",
    "8.i": "None by the developer. The organisation that deploys it decides.",
    "9.i": "On publication of better figures, or by fitting a model of one's own; every change is a new "
    "version, signed.",
}


def source_attributes() -> list[SourceAttribute]:
    """All 31, in the order of the regulation."""
    return [SourceAttribute(number=number, name=name, value=_KNOWN.get(number)) for number, name in NAMES]
