"""Pictures show the slice of each of the first cases that has the most of the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.networks import one_hot

from hybridseg.app.training.progress.overlays import CASES, Overlays, cut_slice, number_labels

LABELS = torch.zeros(1, 8, 6, 4, dtype=torch.long)
LABELS[0, 2:5, 1:4, 2] = 1
LABELS[0, 5:7, 1:4, 2] = 2
LABELS[0, 1, 1, 1] = 1


def case(name: str) -> dict[str, Any]:
    image = MetaTensor(torch.arange(8 * 6 * 4.0).reshape(1, 8, 6, 4), affine=torch.diag(torch.tensor([1.0, 2, 5, 1])))
    label = one_hot(LABELS, 3, dim=0)
    return {"case": name, "image": image, "label": label, "pred": label.roll(1, 1)}


def test_slice_has_the_largest_area_of_the_reference() -> None:
    part = cut_slice(case("a"), labels=2)
    np.testing.assert_array_equal(part.reference, LABELS[0, :, :, 2])
    np.testing.assert_array_equal(part.prediction, LABELS[0, :, :, 2].roll(1, 0))
    np.testing.assert_array_equal(part.image, case("a")["image"].numpy()[0, :, :, 2])
    assert (part.case, part.aspect) == ("a", 2.0)


def test_slices_are_copies_so_that_volumes_are_not_kept() -> None:
    validated = case("a")
    part = cut_slice(validated, labels=2)
    assert not np.shares_memory(part.image, validated["image"].numpy())


def test_overlapping_regions_show_the_last_on_top() -> None:
    whole, core = torch.zeros(2, 1, 3)
    whole[..., :2], core[..., :1] = 1, 1
    assert number_labels(torch.stack([whole, core]), 2).flatten().tolist() == [2, 1, 0]


def test_the_same_cases_are_drawn_at_each_validation(tmp_path: Path) -> None:
    validator: Any = Engine(lambda engine, batch: [case(batch)])
    overlays = Overlays(["liver", "left_kidney"])
    overlays.attach(validator)
    for _ in range(2):
        validator.run([f"case {number}" for number in range(CASES + 2)])
        assert [part.case for part in overlays.slices] == [f"case {number}" for number in range(CASES)]
    overlays.draw(tmp_path / "overlays.png", "epoch 3")
    picture = matplotlib.image.imread(tmp_path / "overlays.png")
    assert (picture[..., :3].max(-1) - picture[..., :3].min(-1)).max() > 0.3  # colours of labels


def test_long_names_fit_into_the_picture(tmp_path: Path) -> None:
    overlays = Overlays([f"{name}_of_the_portal_vein_and_splenic_vein" for name in "abcdefgh"])
    overlays.slices = [cut_slice(case("a"), labels=2)]
    overlays.draw(tmp_path / "overlays.png", "epoch 3")
    edges = matplotlib.image.imread(tmp_path / "overlays.png")[:, [0, -1], :3]
    assert edges.min() == 1.0  # white, not the cut frame of the legend
