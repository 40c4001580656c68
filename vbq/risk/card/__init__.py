"""The model card: one body, shown by the service as a page and written by `vbq model card` as a file of its own."""
