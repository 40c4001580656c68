"""The models that ship with the software: signed data files, see README.md beside them."""
