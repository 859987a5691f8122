"""How a batch is put through the network, in training and over whole volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer


class MixedPrecisionInferer(SimpleInferer):
    """Run the network in bfloat16 where the device computes it in hardware, and give float32 logits.

    MONAI's trainers only autocast on CUDA, in half precision with a loss scaler; bfloat16 has the range of float32
    and needs none.

    Args:
        enabled: False runs the network in float32 anywhere.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(
            inputs.device.type, torch.bfloat16, enabled=self.enabled and computes_bfloat16(inputs.device)
        ):
            outputs = network(inputs, *args, **kwargs)
        return [output.float() for output in outputs] if isinstance(outputs, list) else outputs.float()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # which older releases of torch lack
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))
