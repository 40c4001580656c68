"""A cohort out of what the product stored: who gets in, who falls out where, and what the file says of each."""
