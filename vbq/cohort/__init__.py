"""The analysts' bench: describe a cohort, fit, validate and report. Nothing here runs when a patient is scored."""
