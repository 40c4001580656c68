"""Every HTTP call to somebody else: where it may lead, how long it may take."""
