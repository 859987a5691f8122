"""Time nnU-Net's loader on the prepared case of a store: `python nnunet_loading.py STORE`, with nnunetv2 installed.

Two patches of 96 x 96 x 96 voxels with nnU-Net's own augmentation; CPU time on one thread.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import blosc2
import numpy as np
import torch
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

PATCH, SAMPLES, MOST_VOXELS = np.array([96] * 3), 20, 10_000
ROTATION, SCALING = (-np.pi / 6, np.pi / 6), (0.85, 1.25)


def main(store: Path) -> None:
    """Write the first case of a store as nnU-Net does, load samples of it, and print the time of one."""
    entry = next(path.parent for path in store.glob("*/entry.json"))
    image, label = (blosc2.open(str(entry / f"{key}.b2nd"))[:] for key in ("image", "label"))
    numbers = [int(number) for number in np.unique(label) if number]
    generator = np.random.default_rng(0)
    voxels = {number: generator.permutation(np.argwhere(label == number))[:MOST_VOXELS] for number in numbers}
    with TemporaryDirectory() as folder:
        (blocks, chunks), (label_blocks, label_chunks) = (
            comp_blosc2_params(image.shape, tuple(PATCH), size) for size in (4, 2)
        )
        nnUNetDatasetBlosc2.save_case(
            image,
            label.astype(np.int16),
            {"class_locations": voxels},
            f"{folder}/case",
            chunks=chunks,
            blocks=blocks,
            chunks_seg=label_chunks,
            blocks_seg=label_blocks,
        )
        loader = nnUNetDataLoader(
            nnUNetDatasetBlosc2(folder),
            2,
            get_patch_size(PATCH, ROTATION, ROTATION, ROTATION, SCALING),
            PATCH,
            LabelManager({"background": 0, **{f"label {number}": number for number in numbers}}, None),
            0.33,
            transforms=nnUNetTrainer.get_training_transforms(PATCH, ROTATION, None, (0, 1, 2), False),
        )
        next(loader)
        start = process_time()
        for _ in range(SAMPLES):
            next(loader)
        print(f"{(process_time() - start) / SAMPLES:.3f} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
