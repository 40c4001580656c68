"""What is kept of patients: facts, who is who, results and what was done with them; and how it goes again."""
