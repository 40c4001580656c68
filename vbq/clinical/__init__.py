"""What a patient's record says: units, the merge of observations into inputs, and whom a model may be asked about."""
