"""Write tensors to a file completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hybridseg.transforms.io.atomic import replacing


def save_tensors(content: Any, path: str | Path) -> None:
    """Write what `torch.load` reads; an earlier file stays until the new one is complete.

    Raises:
        OSError: the file cannot be written, such as to a full disk; it names the file.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch's, around that of the file
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
