"""A loss that leaves out the voxels without annotation; see `hybridseg.transforms.ignore`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.loss import _Loss


class AnnotatedLoss(_Loss):
    """A loss over the voxels with annotation only; 0 where there are none.

    The voxels of a batch are passed on as one row, (1, K, N), so the loss must take all samples of a batch together, as
    MONAI's Dice losses do with `batch=True`. Then sums and means are over these voxels alone. MONAI's MaskedDiceLoss
    sets the logits of the others to 0 before the softmax, which still counts them.

    Args:
        loss: of logits (B, K, ...) and a target (B, 1, ...) of labels, or (B, K, ...) of regions.
        ignore: value of the target in voxels without annotation.
    """

    def __init__(self, loss: nn.Module, ignore: int) -> None:
        super().__init__()
        self.loss = loss
        self.ignore = ignore

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss.

        Args:
            logits: (B, K, D, H, W).
            target: (B, 1, D, H, W) or (B, K, D, H, W).
        """
        annotated = (target[:, 0] != self.ignore).flatten().nonzero()[:, 0]
        if not len(annotated):
            return logits.sum() * 0
        rows = (volume.movedim(1, 0).flatten(1).index_select(1, annotated)[None] for volume in (logits, target))
        loss: Tensor = self.loss(*rows)
        return loss
