"""From a file to columns that can be trusted: reading, the data dictionary, checking, renaming and conversion."""
