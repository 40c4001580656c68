"""Made-up studies, patients and cohorts. Everything that comes out of here is synthetic and must be called so."""
