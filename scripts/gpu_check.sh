#!/usr/bin/env bash
# Measure HybridSeg on a CUDA GPU, in less than eight minutes on a recent one:
#   - time and memory of a training step of base, SwinUNETR and DynUNet in bf16, and of base with torch.compile;
#   - the share of its time that the GPU waits for patches from the store of prepared cases;
#   - the prediction of a CT of 512 x 512 x 300 voxels.
#
#     scripts/gpu_check.sh > gpu.txt
#
# It needs `pip install '.[bench]'`, for SwinUNETR. It exits with 1 without a GPU, or if the training fails.
# DEVICE=cpu with a small SIZE and GRID tries the script itself.
set -euo pipefail
failed=0

DEVICE=${DEVICE:-cuda}
SIZE=${SIZE:-96 96 96}
GRID=${GRID:-512 512 300}
SPACING=${SPACING:-1.5}
NETWORKS=${NETWORKS:-base SwinUNETR DynUNet}
WORKERS=${WORKERS:-8}
PYTHON=${PYTHON:-python}

if [ "$DEVICE" != cpu ] && ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu_check: device: $DEVICE: PyTorch finds no CUDA GPU: nothing was measured" >&2
    exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
read -r -a size <<< "$SIZE"
read -r -a grid <<< "$GRID"
read -r -a networks <<< "$NETWORKS"
hybridseg() { "$PYTHON" -m hybridseg.app "$@"; }
title() { printf '\n== %s (%d s) ==\n' "$*" "$SECONDS"; }

title "training step and memory, bf16"
hybridseg bench network --device "$DEVICE" --networks "${networks[@]}" --size "${size[@]}" --precisions bf16

title "training step of ${networks[0]} with torch.compile"
hybridseg bench network --device "$DEVICE" --networks "${networks[0]}" --size "${size[@]}" --precisions bf16 --compile ||
    echo "torch.compile failed"

title "training from the store of prepared cases"
"$PYTHON" - "$folder" "${grid[@]}" <<'EOF'
import sys
from pathlib import Path

from hybridseg.app.benchmarks.inference_cost import resize
from hybridseg.transforms.phantoms import write_phantoms

folder, grid = Path(sys.argv[1]), [int(length) for length in sys.argv[2:]]
write_phantoms(folder / "phantoms", 8, seed=0)
first = min((folder / "phantoms" / "imagesTr").glob("*.nii.gz"))
resize(str(first), grid, folder / "ct.nii.gz")
EOF
hybridseg train phantom_ct_segmentation "$folder/phantoms" --run-dir "$folder/run" --device "$DEVICE" --precision auto \
    --epochs 3 --set num_workers="$WORKERS" --set network_def::preset="${networks[0]}" --set patch_size="[${SIZE// /, }]" \
    --set spacing="[$SPACING, $SPACING, $SPACING]" > "$folder/train.txt" 2>&1 || {
    failed=1
    tail -n 5 "$folder/train.txt"
}
grep "^epoch" "$folder/run/training.log" || true

title "prediction of a CT of $GRID voxels"
hybridseg predict "$folder/ct.nii.gz" -o "$folder/labels" --bundle phantom_ct_segmentation --device "$DEVICE" --json
title "done"
exit "$failed"
