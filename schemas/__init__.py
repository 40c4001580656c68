"""The nouns: frozen records that cross a boundary. Imports nothing of ours."""
