"""The detector: training without torchvision, the pyramid, boxes and anchors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data.box_utils import box_iou
from scipy import ndimage
from torch import Tensor

from hybridseg.networks import PRESETS, create_detector, create_model
from hybridseg.networks.detector import FeaturePyramid, HybridDetector
from hybridseg.transforms.phantoms import ORGANS, phantom

KINDS = {"liver": 0, "kidney_left": 1, "kidney_right": 1}
NOTHING = {"boxes": torch.zeros(0, 6), "labels": torch.zeros(0, dtype=torch.long)}
SOMETHING = {"boxes": torch.tensor([[4.0, 6, 2, 12, 14, 9]]), "labels": torch.tensor([1])}


def tiny_detector(**overrides: Any) -> HybridDetector:
    """Make a small detector for two kinds of objects."""
    options: dict[str, Any] = {"in_channels": 1, "classes": 2, "anchor_shapes": [(8, 8, 8), (16, 16, 16)]}
    return create_detector("tiny", **{**options, "pyramid_channels": 16, **overrides})


def scan_with_boxes() -> tuple[Tensor, dict[str, Tensor]]:
    """Make a phantom at 10 mm (1, 1, D, H, W) and the boxes of its liver and kidneys."""
    scan = phantom(0, spacing=(10, 10, 10), orientation="RAS", tilt=0)
    places = ndimage.find_objects(scan.label)
    found = [(places[label - 1], KINDS[name]) for label, name in ORGANS.items() if name in KINDS]
    boxes = [[axis.start for axis in place] + [axis.stop for axis in place] for place, _ in found]
    image = torch.tensor((np.clip(scan.image, -150, 250) + 150) / 400, dtype=torch.float32)[None, None]
    target = {"boxes": torch.tensor(boxes).float(), "labels": torch.tensor([kind for _, kind in found])}
    return image, target


def test_detector_learns_to_find_liver_and_kidneys():
    image, target = scan_with_boxes()
    detector = tiny_detector(anchor_shapes=[(8, 8, 12), (16, 16, 16)], pyramid_channels=32)
    optimizer = torch.optim.AdamW(detector.network.parameters(), lr=1e-3)
    losses = []
    for _ in range(50):
        loss = torch.stack(list(detector(image, [target]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    with torch.inference_mode():
        (result,) = detector.eval()(image)
    overlap, nearest = torch.as_tensor(box_iou(target["boxes"], result["boxes"][:3])).max(dim=0)
    assert (overlap > 0.5).all()
    assert sorted(nearest.tolist()) == [0, 1, 2]
    assert torch.equal(result["labels"][:3], target["labels"][nearest])
    assert (result["labels_scores"][:3] > 0.5).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_gets_a_gradient(preset):
    network = create_detector(preset, in_channels=1, classes=2, anchor_shapes=[(8, 8, 8)]).network
    torch.stack(
        [x.square().mean() for maps in network(torch.randn(1, 1, 32, 31, 24)).values() for x in maps]
    ).sum().backward()
    without = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1, 1), (7, 19, 33)])
def test_pyramid_has_the_coarsest_scales_finest_first(levels, size):
    encoder = create_model("tiny", in_channels=1, out_channels=2, strides=[(1, 2, 2), 2, 2]).encoder
    pyramid = FeaturePyramid(encoder, levels=levels, out_channels=8).eval()
    assert pyramid.scales == [(1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 8, 8)][-levels:]
    with torch.inference_mode():
        features = pyramid(torch.randn(2, 1, *size))
    assert [x.shape for x in features] == [
        (2, 8, *(-(-n // s) for n, s in zip(size, scale, strict=True))) for scale in pyramid.scales
    ]
    assert all(x.isfinite().all() for x in features)


def test_finest_level_depends_on_all_coarser_levels():
    pyramid = FeaturePyramid(create_model("tiny", in_channels=1, out_channels=2).encoder, levels=3, out_channels=8)
    finest = pyramid(torch.randn(1, 1, 16, 16, 16))[0]
    finest.square().sum().backward()
    parameters = pyramid.pyramid.inner_blocks.parameters()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in parameters)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 40, 3), (20, 33, 17)])
def test_boxes_lie_within_the_image_best_first(size):
    detector = tiny_detector().eval()
    detector.set_box_selector_parameters(score_thresh=0.0)
    with torch.inference_mode():
        results = detector(torch.randn(2, 1, *size))
    assert len(results) == 2
    for result in results:
        low, high = result["boxes"].split(3, dim=1)
        assert len(low)
        assert (low >= 0).all()
        assert (low < high).all()
        assert (high <= torch.tensor(size)).all()
        assert (result["labels_scores"].diff() <= 0).all()


def test_anchors_are_centred_and_grow_with_the_level():
    detector = tiny_detector(anchor_shapes=[(4, 6, 8)], strides=[(1, 2, 2), 2, 2]).eval()
    with torch.inference_mode():
        detector(torch.zeros(1, 1, 8, 16, 24))
    assert detector.anchors is not None
    (anchors,) = detector.anchors
    low, high = anchors.split(3, dim=1)
    fine = 4 * 4 * 6  # at scale (2, 4, 4)
    assert torch.equal((high - low)[[0, fine]], torch.tensor([[4.0, 6, 8], [8, 12, 16]]))
    assert torch.equal(
        ((high + low) / 2)[[0, 1, 6, 24, fine, fine + 1]],
        torch.tensor([[1.0, 2, 2], [1, 2, 6], [1, 6, 2], [3, 2, 2], [2, 4, 4], [2, 4, 12]]),
    )


def test_images_without_objects_can_be_trained_on():
    detector = tiny_detector()
    images = torch.randn(2, 1, 20, 33, 17)
    empty = detector(images, [NOTHING, NOTHING])
    assert empty["box_regression"] == 0
    mixed = detector(images, [NOTHING, SOMETHING])
    assert mixed["box_regression"] > 0
    for losses in (empty, mixed):
        assert losses["classification"].isfinite()
        losses["classification"].backward()


def test_anchors_match_the_box_of_largest_overlap():
    detector = tiny_detector()
    boxes = torch.tensor([[0.0, 0, 0, 8, 8, 8], [16, 16, 16, 32, 32, 32]])
    images = torch.zeros(2, 1, 32, 32, 32)
    detector(images, [NOTHING, {"boxes": boxes, "labels": torch.tensor([0, 1])}])
    assert detector.anchors is not None
    none, some = detector.compute_anchor_matched_idxs(
        detector.anchors, [NOTHING, {"boxes": boxes}], [8 * 8 * 8, 4 * 4 * 4]
    )
    assert (none == -1).all()
    chosen = some >= 0
    assert set(some[chosen].tolist()) == {0, 1}
    overlap = torch.as_tensor(box_iou(boxes, detector.anchors[0][chosen]))
    assert torch.equal(some[chosen], overlap.argmax(dim=0))


# MONAI rounds the sizes of a list of images with numpy.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_list_of_images_may_differ_in_size():
    detector = tiny_detector()
    images = [torch.randn(1, 20, 33, 17), torch.randn(1, 9, 16, 30)]
    assert detector(images, [SOMETHING, NOTHING])["box_regression"] > 0
    detector.eval().set_box_selector_parameters(score_thresh=0.0)
    with torch.inference_mode():
        results = detector(images)
    for image, result in zip(images, results, strict=True):
        assert (result["boxes"][:, 3:] <= torch.tensor(image.shape[1:])).all()


def test_window_as_large_as_the_image_gives_the_same():
    detector = tiny_detector().eval()
    detector.set_box_selector_parameters(score_thresh=0.0)
    detector.set_sliding_window_inferer(roi_size=(24, 32, 16))
    image = torch.randn(1, 1, 24, 32, 16)
    with torch.inference_mode():
        (whole,), (windows,) = detector(image), detector(image, use_inferer=True)
        larger = detector(torch.randn(1, 1, 40, 33, 30), use_inferer=True)
    for key, value in whole.items():
        torch.testing.assert_close(windows[key], value)
    assert larger[0]["boxes"].isfinite().all()


def test_boxes_are_float32_under_autocast():
    detector = tiny_detector().eval()
    detector.set_box_selector_parameters(score_thresh=0.0)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        (result,) = detector(torch.randn(1, 1, 8, 16, 264))
    assert detector.anchors is not None
    assert detector.anchors[0].dtype == result["boxes"].dtype == torch.float32


def test_encoder_of_a_segmentation_network_is_loaded():
    model = create_model("tiny", in_channels=1, out_channels=4)
    network: Any = tiny_detector().network
    network.feature_extractor.encoder.load_state_dict(model.encoder.state_dict())
    image = torch.randn(1, 1, 16, 16, 16)
    for first, second in zip(model.encoder(image), network.feature_extractor.encoder(image), strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "huge"}, "preset: 'huge': must be one of tiny, small, light, base"),
        ({"classes": 0}, "classes: 0: must be a positive integer"),
        ({"levels": 0}, "levels: 0: must be a positive integer"),
        ({"levels": 5}, "levels: 5: must be at most 4, the encoder's scales"),
        ({"pyramid_channels": 12}, "pyramid_channels: 12: must be a multiple of 8"),
        ({"pyramid_channels": "wide"}, "pyramid_channels: 'wide': must be a positive integer"),
        ({"anchor_shapes": []}, r"anchor_shapes: \[\]: must be a list of shapes, three lengths each"),
        ({"anchor_shapes": 8}, "anchor_shapes: 8: must be a list of shapes, three lengths each"),
        ({"anchor_shapes": (8, 8, 8)}, r"anchor_shapes: \(8, 8, 8\): must be a list of shapes, three lengths each"),
        ({"anchor_shapes": [(8, 8)]}, r"anchor_shapes: \(8, 8\): must be one integer or three"),
        ({"anchor_shapes": [(1, 8, 8)]}, r"anchor_shapes: \(1, 8, 8\): must be at least 2 voxels long"),
        ({"width": 3}, "width: not a field of the network: must be one of in_channels"),
    ],
)
def test_invalid_values_raise(overrides, message):
    options = {"preset": "tiny", "in_channels": 1, "classes": 2, "anchor_shapes": [(8, 8, 8)], **overrides}
    with pytest.raises(ValueError, match=message):
        create_detector(**options)
