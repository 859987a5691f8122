"""Read and write volumes: names, header checks, NIfTI, NRRD and MetaImage, label maps."""
