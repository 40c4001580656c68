"""How well a model does: discrimination, calibration, error, usefulness, and how much of it is optimism."""
