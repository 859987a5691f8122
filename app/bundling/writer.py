"""Write the files of a bundle from the settings in which bundles differ.

Everything else comes from the configs of one shipped bundle, the template; bundles of overlapping regions have a
template of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets.names import DICOM_CODES
from hybridseg.transforms.io.atomic import replacing_folder, write_text
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.structures import label_colours

TEMPLATE, REGIONS_TEMPLATE = "hippocampus_mri_segmentation", "brain_tumour_mri_segmentation"
WIDTH = 120
NETWORK_KEYS = ("preset", "strides", "kernels", "stem_kernel")
CT_ONLY = {"window": "@window"}
CASES_OF_A_DATASET = frozenset({"split", "dataset::data"})
"""Keys that read cases: those of a DICOM tree are found by the channels of the bundle."""
CHANNELS_ONLY = ("modalities", "windows")
"""Settings of bundles whose channels are of several modalities, or of another one than CT and MRI."""
IGNORED = "$1 + len(@label_names)"
"""Number of the ignore label in label maps that were loaded for training."""
CONFIGS = ("train.json", "inference.json", "evaluate.json", "multi_gpu_train.json")
COPIED = ("LICENSE", "configs/logging.conf")

SAME_IN_EVERY_BUNDLE = {"inference.json": ("dataset_dir",)}
"""Keys that keep the template's value: the volumes to segment are not those of the training dataset."""

Config = dict[str, Any]


def write_bundle(folder: Path, settings: Mapping[str, Any], split: Mapping[str, Any], docs: Mapping[str, str]) -> None:
    """Write a bundle; its configs replace earlier ones all at once, after all other files.

    Other files in `configs` stay.

    Args:
        folder: folder of the bundle, whose name becomes that of the bundle.
        settings: as for `configure`.
        split: cases of each fold, and test cases.
        docs: texts of further files by path in the bundle.

    Raises:
        OSError: a file cannot be written.
    """
    template = template_for(settings)
    texts = {name: (template / name).read_text(encoding="utf-8") for name in COPIED} | dict(docs)
    for file in CONFIGS:
        texts[f"configs/{file}"] = format_config(configure(file, settings)) + "\n"
    texts["configs/split.json"] = format_config(split) + "\n"
    texts["configs/metadata.json"] = format_config(metadata(folder.name, settings)) + "\n"
    configs = {name: text for name, text in texts.items() if Path(name).parts[0] == "configs"}
    for name, text in texts.items():
        if name not in configs:
            write_text(folder / name, text)
    with replacing_folder(folder / "configs") as temporary:
        copy_files(folder / "configs", temporary)
        for name, text in configs.items():
            (temporary / Path(name).relative_to("configs")).write_text(text, encoding="utf-8")


def copy_files(source: Path, target: Path) -> None:
    """Copy a file, or all files in and below a folder; nothing if there is none.

    Raises:
        OSError: a file cannot be read, or cannot be written, such as to a full disk.
    """
    for path in (source, *source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())  # not shutil: on a full disk its error names the source


def template_for(settings: Mapping[str, Any]) -> Path:
    """Return the folder of the shipped bundle that is the template for these settings."""
    return bundle_path(REGIONS_TEMPLATE if "regions" in settings else TEMPLATE)


def configure(file: str, settings: Mapping[str, Any]) -> Config:
    """Return the content of a config.

    Args:
        file: its name, such as `train.json`.
        settings: top-level keys of the config that differ from the template's, fields of `NetworkConfig`, `modality`
            (CT or MRI), and for CT `window`, the lowest and the highest HU. For other modalities and for several of
            them, `modality` is a text, `modalities` has that of each channel by its name, and `windows` the window of
            each CT. `ignore_label` is the label of voxels without annotation, if there are any.
    """
    template = read_json(template_for(settings) / "configs" / file)
    config: Config = {}
    for key, value in template.items():
        config[key] = deepcopy(value if key in SAME_IN_EVERY_BUNDLE.get(file, ()) else settings.get(key, value))
        if key == "spacing" and "window" in settings:
            config["window"] = list(settings["window"])
        if key == "spacing":
            config |= {name: deepcopy(settings[name]) for name in CHANNELS_ONLY if name in settings}
        if key == "label_names":
            config[key] = {str(label): name for label, name in config[key].items()}
        if key == "rois" and "ignore_label" in settings:
            config["ignore_label"] = settings["ignore_label"]
    if "preprocessing" in config and "modalities" in settings:
        own = {name: f"@{name}" for name in CHANNELS_ONLY if name in settings}
        config["preprocessing"] = replace_pipeline(config["preprocessing"], "channel_preprocessing", own)
        if "train" in config:
            config["train"]["augmentation"]["modalities"] = "$list(@modalities.values())"
    elif "preprocessing" in config and settings["modality"] == "CT":
        config["preprocessing"] = replace_pipeline(config["preprocessing"], "ct_preprocessing", CT_ONLY)
    if "network_def" in config:
        config["network_def"] |= {name: settings[name] for name in NETWORK_KEYS if name in settings}
    for key in CASES_OF_A_DATASET & config.keys() if "modalities" in settings else ():
        config[key] = config[key].replace("rois=@rois", "rois=@rois, channels=list(@modalities)")
    if "ignore_label" in config:
        leave_out_ignored(config)
    if "label_codes" not in settings:
        config.pop("label_codes", None)
    return config


def leave_out_ignored(config: Config) -> None:
    """Leave out the voxels with the ignore label in patches, loss and validation, or in the scores of `evaluate.json`.

    When label maps are loaded, the ignore label, which is the highest, gets the number after the last class.
    """
    if "train" not in config:
        step_of(config["handlers"], "ScoreCases")["ignore"] = "@ignore_label"
        return
    config["preprocessing"]["labels"] = "$[*@label_names, @ignore_label]"
    config["train"]["augmentation"]["ignore"] = IGNORED
    loss = config["loss"]["loss"]
    config["loss"]["loss"] = {"_target_": "hybridseg.app.training.AnnotatedLoss", "loss": loss, "ignore": IGNORED}
    clear = {
        "_target_": "hybridseg.transforms.ClearIgnoredd",
        "keys": ["pred", "label"],
        "label_key": "label",
        "ignore": IGNORED,
    }
    steps = config["validate"]["postprocessing"]["transforms"]
    if "regions" in config:
        step_of(steps, "LabelsToRegionsd")["ignore"] = IGNORED
        steps.append(clear)
    else:
        steps.insert(0, clear)


def step_of(steps: Sequence[Config], name: str) -> Config:
    """Return the step of a list whose class has a name."""
    return next(step for step in steps if step["_target_"].endswith(f".{name}"))


def replace_pipeline(preprocessing: Config, name: str, own: Mapping[str, str]) -> Config:
    """Return the preprocessing of another modality: without the number of channels, with arguments of its own."""
    kept = {key: value for key, value in preprocessing.items() if key != "channels"}
    return {**kept, "_target_": f"hybridseg.transforms.{name}", **own}


def metadata(name: str, settings: Mapping[str, Any]) -> Config:
    """Return the content of `metadata.json` for a bundle that has not been trained.

    Args:
        name: name of the bundle.
        settings: as for `configure`, with `channel_names`; `data_source`, the name of the dataset; and
            optionally `training_data`, as `TrainingData.record` returns it.
    """
    modalities = list(settings.get("modalities", {}).values()) or [settings["modality"]]
    is_ct = modalities == ["CT"]
    classes = {0: "background", **settings["label_names"]}
    labels = list(classes.values())
    outputs = list(settings["regions"]) if "regions" in settings else labels
    size = {"spatial_shape": list(settings["patch_size"]), "dtype": "float32", "is_patch_data": True}
    image = {
        "type": "image",
        "format": "hounsfield" if is_ct else "magnitude",
        "modality": ", ".join(dict.fromkeys(DICOM_CODES[name] for name in modalities)),
        "num_channels": settings["channels"],
        **size,
        "value_range": [-1, 1] if is_ct else [],
        "channel_def": {str(index): channel for index, channel in enumerate(settings["channel_names"])},
    }
    prediction = {
        "type": "image",
        "format": "segmentation",
        "num_channels": len(outputs),
        **size,
        "value_range": [],
        "channel_def": {str(index): output for index, output in enumerate(outputs)},
    }
    kept = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version")
    template = read_json(template_for(settings) / "configs" / "metadata.json")
    return {
        "schema": template["schema"],
        "version": "0.1.0",
        "changelog": {"0.1.0": "planned"},
        **{key: template[key] for key in kept},
        "name": name.replace("_", " "),
        "task": f"Segmentation of {', '.join(settings.get('regions') or labels[1:])}",
        "description": f"HybridSwinUNETR (preset {settings['preset']}), planned for {settings['data_source']}",
        "authors": "to be named",
        "copyright": "to be named",
        "data_source": settings["data_source"],
        "data_type": "nifti",
        "image_classes": ", ".join(settings["channel_names"]),
        "label_classes": ", ".join(f"{label}: {name}" for label, name in classes.items()),
        "pred_classes": f"{len(outputs)} channels of logits: {', '.join(outputs)}",
        "intended_use": "Research. Not for clinical use without validation.",
        **({"training_data": settings["training_data"]} if "training_data" in settings else {}),
        "label_colours": dict(zip(labels[1:], label_colours(labels[1:]), strict=True)),
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": prediction}},
    }


def format_config(value: Any, indent: int = 0, before: int = 0) -> str:
    """Format JSON as a person would: indented by four spaces, with short and simple values on one line.

    Args:
        value: what to format.
        indent: columns before each line.
        before: columns used on its first line, beyond the indent.
    """
    line = json.dumps(value, ensure_ascii=False)
    items = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | Sequence) or isinstance(value, str) or not value:
        return line
    simple = not any(isinstance(item, Mapping | list | tuple) for item in items)
    flat = simple or all(isinstance(item, list | tuple) and not _nested(item) for item in items)
    if flat and "_target_" not in line and "$" not in line and indent + before + len(line) <= WIDTH:
        return line
    inner = " " * (indent + 4)
    if isinstance(value, Mapping):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        lines = [inner + key + format_config(item, indent + 4, len(key)) for key, item in zip(keys, items, strict=True)]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + format_config(item, indent + 4) for item in value) + "\n" + " " * indent + "]"


def _nested(items: Sequence[Any]) -> bool:
    return any(isinstance(item, Mapping | list | tuple) for item in items)
