"""The texts of a planned bundle: its README in the model zoo's sections, and the data's licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

README = """\
# Model Overview

HybridSwinUNETR, preset `{preset}`, for {labels} in {modality}. Planned by `hybridseg plan`, not trained yet.

## Data

{dataset}, which is not part of the bundle: {cases} cases without faults{left_out}. `configs/split.json` divides them
into {folds}; `--fold N` takes fold N, from 0, to choose the model, and trains on the others.

## Training configuration

The values stand in `configs/`. One that `train.json` and `inference.json` share, such as `spacing`, must be changed in
both.

| key | value | why |
|---|---|---|
{decisions}

### Input

{inputs}.

### Output

Labels on the input's grid: 0 background, {outputs}.{regions}

## Performance

Not measured yet: train it, then score cases that it has not seen.

## MONAI Bundle Commands

From any directory, `BUNDLE` being the folder of this bundle and `DATA` that of the dataset; `hybridseg train` and
`hybridseg predict` do the same after more checks.

Train; go on after a stop by `--resume True`:

```
python -m monai.bundle run --config_file $BUNDLE/configs/train.json --dataset_dir $DATA
```

Train on two GPUs, or in two processes on a CPU:

```
torchrun --nproc_per_node=2 -m monai.bundle run --dataset_dir $DATA \\
    --config_file "['$BUNDLE/configs/train.json','$BUNDLE/configs/multi_gpu_train.json']"
```

Segment a folder of volumes:

```
python -m monai.bundle run --config_file $BUNDLE/configs/inference.json \\
    --dataset_dir volumes --output_dir labels --checkpoint {run_dir}/model.pt
```

Score the fold that chose the model, with the same `--fold N` as in its training:

```
python -m monai.bundle run --dataset_dir $DATA --checkpoint {run_dir}/model.pt \\
    --config_file "['$BUNDLE/configs/inference.json','$BUNDLE/configs/evaluate.json']"
```

## License

The configurations: Apache-2.0. Weights are under the licence of who trains them; the data: see `docs/data_license.txt`.
Not for clinical use without validation. Configs are code: running somebody's bundle runs their code.
"""


def plan_docs(
    name: str,
    settings: Mapping[str, Any],
    reasons: Mapping[str, str],
    *,
    cases: int,
    left_out: int,
    folds: int,
    licence: str,
) -> dict[str, str]:
    """Texts by their path in the bundle.

    Args:
        name: of the bundle.
        settings: of its configurations.
        reasons: why each decided setting has its value.
        cases: without faults.
        left_out: cases with faults.
        folds: of the cross-validation.
        licence: of the dataset; empty if it is not known.
    """
    rows = [
        f"| `{key}` | {json.dumps(settings[key], ensure_ascii=False)} | {reason} |" for key, reason in reasons.items()
    ]
    labels = settings["label_names"]
    regions = [
        f"{name} (labels {', '.join(map(str, members))})" for name, members in settings.get("regions", {}).items()
    ]
    readme = README.format(
        preset=settings["preset"],
        labels=", ".join(settings.get("regions") or labels.values()),
        modality=settings["modality"],
        dataset=settings["data_source"],
        cases=cases,
        left_out=f"; {left_out} with faults are left out" if left_out else "",
        folds=f"{folds} folds",
        decisions="\n".join(rows),
        inputs=f"Channels in this order: {', '.join(settings['channel_names'])}",
        outputs=", ".join(f"{label} {output}" for label, output in labels.items()),
        regions=f" The network tells regions: {'; '.join(regions)}." if regions else "",
        run_dir=settings["run_dir"],
    )
    told = licence or "not told by its dataset.json: to be filled in before weights are given away"
    data = f"{name} is planned for {settings['data_source']}, which is not part of this bundle.\n\nLicence: {told}\n"
    return {"docs/README.md": readme, "docs/data_license.txt": data}
