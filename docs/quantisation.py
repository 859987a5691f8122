"""Compare int8 with float precisions: `python docs/quantisation.py Task04_Hippocampus`.

Quantises the network of the hippocampus bundle by ONNX Runtime and by OpenVINO with NNCF, calibrated on training cases,
and prints the time of the network per test case, the mean Dice, and the voxels unlike those of float32. Needs
`pip install openvino==2026.4.1 nncf==3.4.0`, which are no dependencies of HybridSeg.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from hybridseg.app.inference import Predictor, export_network
from hybridseg.app.runtime import align
from hybridseg.bundles import bundle_path
from hybridseg.transforms.padding import pad_to_size

BUNDLE = "hippocampus_mri_segmentation"
CALIBRATION, CASES, REPEATS = 12, 8, 2
"""Training cases to calibrate on, test cases to segment, and runs of each, of which the shortest counts."""

Run = Callable[[Tensor], Tensor]


def calibration_windows(predictor: Predictor, cases: list[Path]) -> list[Any]:
    """Return up to two random windows (1, 1, D, H, W) of each prepared case."""
    generator, found = torch.Generator().manual_seed(0), []
    for case in cases:
        volume, _ = pad_to_size(
            predictor.prepare({"image": case})["image"].as_tensor(), predictor.inferer.roi_size, 0.0
        )
        windows = predictor.inferer.windows(volume)
        found += [volume[:, *windows[i]][None].numpy() for i in torch.randperm(len(windows), generator=generator)[:2]]
    return found


def onnx_runs(exported: Path, windows: list[Any]) -> Iterator[tuple[str, Run]]:
    """Yield ONNX Runtime in float32 and, quantised, in int8."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def load(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda x: torch.from_numpy(session.run(None, {"image": x.numpy()})[0])

    class Windows(CalibrationDataReader):
        left = iter(windows)

        def get_next(self) -> Any:
            window = next(self.left, None)
            return None if window is None else {"image": window}

    prepared, quantised = exported.with_name("prepared.onnx"), exported.with_name("int8.onnx")
    quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(str(prepared), str(quantised), Windows(), quant_format=QuantFormat.QDQ, per_channel=True, **kinds)
    yield "ONNX Runtime float32", load(exported)
    yield f"ONNX Runtime int8 ({quantised.stat().st_size / 1e6:.1f} MB)", load(quantised)


def openvino_runs(exported: Path, windows: list[Any]) -> Iterator[tuple[str, Run]]:
    """Yield OpenVINO in float32, in bfloat16 and, quantised by NNCF, in int8."""
    import nncf
    import openvino

    def load(model: Any, **options: str) -> Run:
        compiled = openvino.Core().compile_model(
            model, "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1", **options}
        )
        return lambda x: torch.from_numpy(np.array(compiled(x.numpy())[0]))

    model = openvino.convert_model(exported)
    yield "OpenVINO float32", load(model, INFERENCE_PRECISION_HINT="f32")
    yield "OpenVINO bfloat16", load(model, INFERENCE_PRECISION_HINT="bf16")
    for name, kind in (("", None), (" for transformers", nncf.ModelType.TRANSFORMER)):
        data = nncf.Dataset(windows)
        quantised = nncf.quantize(model, data, subset_size=len(windows), model_type=kind)
        yield f"OpenVINO int8{name}", load(quantised)


def main(dataset: Path) -> None:
    """Quantise, segment the first test cases in turns, and print the table."""
    torch.set_num_threads(1)
    predictor = Predictor(BUNDLE, "cpu", precision="fp32")
    split = json.loads((bundle_path(BUNDLE) / "configs" / "split.json").read_text())
    images = {case: dataset / "imagesTr" / f"{case}.nii.gz" for cases in split.values() for case in cases}
    windows = calibration_windows(predictor, [images[case] for case in split["training"][:CALIBRATION]])

    def half(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return predictor.network(x).float()

    with TemporaryDirectory() as folder:
        exported = Path(folder) / "float.onnx"
        export_network(predictor.network, exported, "onnx", windows[0].shape[1:])
        runs = {"PyTorch float32": predictor.network, "PyTorch bfloat16": half}
        runs |= {**dict(onnx_runs(exported, windows)), **dict(openvino_runs(exported, windows))}
    seconds, dice, changed = ({name: [] for name in runs} for _ in range(3))
    for run in runs.values():  # the first run of an engine takes longer
        run(torch.randn(4, *windows[0].shape[1:]))
    for case in split["test"][:CASES]:
        prepared = predictor.prepare({"image": images[case]})
        reference = np.asarray(nib.load(dataset / "labelsTr" / f"{case}.nii.gz").dataobj)
        first = None
        for name, run in runs.items():
            times = []
            for _ in range(REPEATS):
                start = perf_counter()
                with torch.inference_mode():
                    logits = predictor.inferer(prepared["image"][None], run)[0]
                times.append(perf_counter() - start)
            labels = np.asarray(predictor.restore({**prepared, "pred": logits})["pred"])[0]
            first = labels if first is None else first
            masks = [(labels == label, reference == label) for label in predictor.label_names]
            seconds[name].append(min(times))
            dice[name].append(np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in masks]))
            changed[name].append(int((labels != first).sum()))
    rows = [
        [name, f"{np.mean(seconds[name]):.3f} s", f"{np.mean(dice[name]):.4f}", str(sum(changed[name]))]
        for name in runs
    ]
    print(*align([["", "per case", "Dice", "voxels unlike float32"], *rows]), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
