"""Archives: where the pixels of a study are, how they are fetched, and how evidence goes back."""
