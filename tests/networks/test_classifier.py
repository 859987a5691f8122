"""The classifier: any size, batch items do not mix, pretrained encoders, and learning on phantoms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from hybridseg.networks import PRESETS, create_classifier, create_model
from hybridseg.transforms.phantoms import ORGANS, phantom

SIZE = 16
CROPPED = ("liver", "spleen", "spine")


def crops(seed: int) -> Tensor:
    """Crop a patch around each organ of one patient: (3, 1, 16, 16, 16), at 8 mm."""
    scan = phantom(seed, spacing=(8, 8, 8), orientation="RAS", tilt=0)
    image = np.pad((np.clip(scan.image, -150, 250) + 150) / 400, SIZE // 2)
    labels = {name: label for label, name in ORGANS.items()}
    centres = ndimage.center_of_mass(scan.label > 0, scan.label, [labels[name] for name in CROPPED])
    cut = [image[tuple(slice(int(middle), int(middle) + SIZE) for middle in centre)] for centre in centres]
    return torch.tensor(np.stack(cut), dtype=torch.float32)[:, None]


def test_classifier_learns_organs_of_unseen_patients():
    train, unseen = torch.cat([crops(seed) for seed in range(4)]), torch.cat([crops(seed) for seed in range(4, 10)])
    model = create_classifier("tiny", in_channels=1, classes=len(CROPPED))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        loss = functional.cross_entropy(model(train), torch.arange(len(CROPPED)).repeat(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    with torch.inference_mode():
        found = model.eval()(unseen).argmax(dim=1)
    assert (found == torch.arange(len(CROPPED)).repeat(6)).float().mean() > 0.9


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_gets_a_gradient(preset):
    model = create_classifier(preset, in_channels=1, classes=3)
    model(torch.randn(1, 1, 24, 31, 24)).square().sum().backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 19, 33)])
def test_any_size_gives_finite_logits_per_item(size):
    model = create_classifier("tiny", in_channels=2, classes=3).eval()
    images = torch.randn(2, 2, *size)
    with torch.inference_mode():
        logits = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_padding_is_not_averaged():
    model = create_classifier("tiny", in_channels=1, classes=2).eval()
    with torch.no_grad():
        pooled = []
        model.norm.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
        image = torch.randn(1, 1, 20, 24, 24)
        model(image)
        whole = model.encoder(functional.pad(image, (0, 0, 0, 0, 0, 4)))
    finest, coarsest = whole[0][:, :, :20].mean((2, 3, 4)), whole[-1].mean((2, 3, 4))
    torch.testing.assert_close(pooled[0][:, : finest.shape[1]], finest)
    torch.testing.assert_close(pooled[0][:, -coarsest.shape[1] :], coarsest)


def test_encoder_of_a_segmentation_network_is_loaded():
    model = create_model("tiny", in_channels=1, out_channels=4)
    classifier = create_classifier("tiny", in_channels=1, classes=2)
    classifier.encoder.load_state_dict(model.encoder.state_dict())
    image = torch.randn(1, 1, 16, 16, 16)
    for first, second in zip(model.encoder(image), classifier.encoder(image), strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "huge"}, "preset: 'huge': must be one of tiny, small, light, base"),
        ({"classes": 0}, "classes: 0: must be a positive integer"),
        ({"in_channels": 0}, "in_channels: 0: must be a positive integer"),
        ({"width": 3}, "width: not a field of the network: must be one of in_channels"),
    ],
)
def test_invalid_values_raise(overrides, message):
    with pytest.raises(ValueError, match=message):
        create_classifier(**{"preset": "tiny", "in_channels": 1, "classes": 2, **overrides})


def test_image_without_a_batch_raises():
    with pytest.raises(ValueError, match=r"image: shape \(1, 16, 16, 16\): must be \(B, C, D, H, W\)"):
        create_classifier("tiny", in_channels=1, classes=2)(torch.zeros(1, 16, 16, 16))
