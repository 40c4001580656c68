"""FHIR R4: what we read of it, narrowly and strictly, and what we say in it. Pure functions over JSON documents."""
