"""Watching a model at work: a shadow beside it, drift of what goes in and comes out, outcomes, recalibration."""
