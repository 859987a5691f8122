"""Voxels without annotation have no part in the loss, at any resolution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss, DiceFocalLoss

from hybridseg.app.training import AnnotatedLoss

SIZE = (2, 1, 8, 6, 10)
CLASSES = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
REGIONS = DiceFocalLoss(sigmoid=True, gamma=0.0, batch=True)
IGNORE = 3


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE[2:], generator=torch.Generator().manual_seed(0), requires_grad=True)


def target(loss: torch.nn.Module) -> torch.Tensor:
    """Labels of classes or regions, of which the second half of the slices are ignored."""
    generator = torch.Generator().manual_seed(1)
    if loss is CLASSES:
        made = torch.randint(3, SIZE, generator=generator).float()
    else:
        made = torch.randint(2, (2, 3, *SIZE[2:]), generator=generator).float()
    made[..., 5:] = IGNORE
    return made


@pytest.mark.parametrize("loss", [CLASSES, REGIONS])
def test_loss_is_that_of_the_annotated_part_alone(loss: Any, logits: torch.Tensor) -> None:
    wanted = target(loss)
    found = AnnotatedLoss(loss, IGNORE)(logits, wanted)
    torch.testing.assert_close(found, loss(logits[..., :5], wanted[..., :5]))
    found.backward()
    assert logits.grad is not None
    assert not logits.grad[..., 5:].any()
    assert logits.grad[..., :5].all()


@pytest.mark.parametrize("loss", [CLASSES, REGIONS])
def test_full_annotation_gives_the_loss_itself(loss: Any, logits: torch.Tensor) -> None:
    wanted = target(loss).where(target(loss) != IGNORE, torch.tensor(1.0))
    torch.testing.assert_close(AnnotatedLoss(loss, IGNORE)(logits, wanted), loss(logits, wanted))


@pytest.mark.parametrize("loss", [CLASSES, REGIONS])
def test_lower_resolutions_ignore_their_part_too(loss: Any, logits: torch.Tensor) -> None:
    wanted = target(loss)
    wanted[..., 4:] = IGNORE
    small = torch.randn(2, 3, 4, 3, 5, generator=torch.Generator().manual_seed(2), requires_grad=True)
    DeepSupervisionLoss(AnnotatedLoss(loss, IGNORE))([logits, small], wanted).backward()
    assert small.grad is not None
    assert not small.grad[..., 2:].any()
    assert small.grad[..., :2].all()


def test_without_annotation_the_loss_is_zero(logits: torch.Tensor) -> None:
    found = AnnotatedLoss(CLASSES, IGNORE)(logits, torch.full(SIZE, float(IGNORE)))
    found.backward()
    assert found == 0
    assert logits.grad is not None
    assert not logits.grad.any()
