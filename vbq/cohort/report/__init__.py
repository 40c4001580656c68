"""The report of a cohort: everything that Lin et al. 2025 report, for any cohort, with what must be said beside it."""
