"""Texts about a planned bundle: its README in the sections of the model zoo, and its data licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

README = """\
# Model Overview

HybridSwinUNETR, preset `{preset}`, for {labels} in {modality}. Planned by `hybridseg plan`, not trained yet.

## Data

{dataset}, which is not part of the bundle: {cases} usable cases{left_out}. `configs/split.json` divides them into
{folds}; `--fold N` validates on fold N, counted from 0, and trains on the others.

## Training configuration

The values are in `configs/`. Change a value that `train.json` and `inference.json` share, such as `spacing`, in both.

| key | value | why |
|---|---|---|
{decisions}

### Input

{inputs}.

### Output

Labels on the input's grid: 0 background, {outputs}.{regions}

## Performance

Not measured yet: train the bundle, then score cases that it has not seen.

## MONAI Bundle Commands

The commands work from any directory. `BUNDLE` is the folder of this bundle, `DATA` that of the dataset. `hybridseg
train` and `hybridseg predict` do the same after more checks.

Train; `--resume True` resumes an interrupted run:

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

Score the validation fold, with the same `--fold N` as in training:

```
python -m monai.bundle run --dataset_dir $DATA --checkpoint {run_dir}/model.pt \\
    --config_file "['$BUNDLE/configs/inference.json','$BUNDLE/configs/evaluate.json']"
```

## License

The configurations: Apache-2.0. Whoever trains weights chooses their licence; the licence of the data is in
`docs/data_license.txt`. Not for clinical use without validation. Configs are code: running somebody's bundle runs their
code.
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
    """Return the README and the data licence of a planned bundle.

    Args:
        name: name of the bundle.
        settings: values of its configs.
        reasons: why each planned setting has its value.
        cases: number of usable cases.
        left_out: number of cases with problems.
        folds: number of folds of the cross-validation.
        licence: licence of the dataset; empty if unknown.

    Returns:
        Texts by path in the bundle.
    """
    rows = [
        f"| `{key}` | {json.dumps(settings[key], ensure_ascii=False)} | {reason} |" for key, reason in reasons.items()
    ]
    labels = settings["label_names"]
    regions = [
        f"{region} (labels {', '.join(map(str, members))})" for region, members in settings.get("regions", {}).items()
    ]
    readme = README.format(
        preset=settings["preset"],
        labels=", ".join(settings.get("regions") or labels.values()),
        modality=settings["modality"],
        dataset=settings["data_source"],
        cases=cases,
        left_out=f"; {left_out} with problems are left out" if left_out else "",
        folds=f"{folds} folds",
        decisions="\n".join(rows),
        inputs=f"Channels in this order: {', '.join(settings['channel_names'])}",
        outputs=", ".join(f"{label} {output}" for label, output in labels.items()),
        regions=f" The network predicts regions: {'; '.join(regions)}." if regions else "",
        run_dir=settings["run_dir"],
    )
    terms = licence or "not given in its dataset.json; fill it in before you share weights"
    data = f"{name} is planned for {settings['data_source']}, which is not part of this bundle.\n\nLicence: {terms}\n"
    return {"docs/README.md": readme, "docs/data_license.txt": data}
