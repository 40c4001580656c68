"""Risk: the served model as data, its signature, and the arithmetic from inputs to a probability with its interval."""
