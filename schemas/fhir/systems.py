"""Every system and extension URI that we write or look for, in one place.

Ours live under vbq-cds.example, a name reserved for examples (RFC 2606): a site that publishes its results beyond its
own EHR replaces ROOT by a domain that it owns.
"""

from typing import Final

ROOT: Final = "https://vbq-cds.example/fhir"

# identifiers of what we make
ASSESSMENT_KEY: Final = f"{ROOT}/assessment-key"
ASSESSMENT_ID: Final = f"{ROOT}/assessment-id"
MEASUREMENT_KEY: Final = f"{ROOT}/measurement-key"
DEVICE_KEY: Final = f"{ROOT}/device-key"

# code systems
MEASURE: Final = f"{ROOT}/CodeSystem/measure"
MODEL: Final = f"{ROOT}/CodeSystem/model"
TOPIC: Final = f"{ROOT}/CodeSystem/card-topic"
OVERRIDE_REASON: Final = f"{ROOT}/CodeSystem/override-reason"

# extensions
PROBABILITY_INTERVAL: Final = f"{ROOT}/StructureDefinition/probability-interval"
VALUE_INTERVAL: Final = f"{ROOT}/StructureDefinition/value-interval"
ASSESSMENT_STATE: Final = f"{ROOT}/StructureDefinition/assessment-state"
SUPERSEDED_BY: Final = f"{ROOT}/StructureDefinition/superseded-by"
PATIENT_REPLACED_BY: Final = f"{ROOT}/StructureDefinition/patient-replaced-by"

# other people's
UCUM: Final = "http://unitsofmeasure.org"
SNOMED: Final = "http://snomed.info/sct"
LOINC: Final = "http://loinc.org"
DICOM_UID: Final = "urn:dicom:uid"
RISK_PROBABILITY: Final = "http://terminology.hl7.org/CodeSystem/risk-probability"
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
DATA_OPERATION: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
PROVENANCE_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
CONDITION_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
