"""DICOM files: read by a limited child process, bounded and checked; and the DICOM that we write."""
