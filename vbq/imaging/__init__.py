"""From slices to a VBQ: which series, which slice, which regions, what they hold. Arrays and records, no DICOM."""
