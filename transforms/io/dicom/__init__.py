"""DICOM series in, DICOM Segmentation out."""
