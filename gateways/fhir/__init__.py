"""FHIR servers: the EHR that gets results, and the servers whose resources come to us."""
