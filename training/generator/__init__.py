"""Drawn sagittal slices of the lumbar spine, with the label of every pixel: anatomy, then tissue, then acquisition."""
