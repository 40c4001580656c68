"""How the shipped network was made. Never imported at run time; torch is needed here alone."""
