"""Labels come back to the grid of the input: exactly where nothing was resampled, closely where it was."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose, CropForegroundd, EnsureTyped, Orientation, Orientationd, Spacing, Spacingd
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hybridseg.transforms import LoadVolumed, RestoreLabelsd, restore_labels, restoring

Array = NDArray[Any]

AXIS_CODES = [
    f"{first}{second}{third}"
    for first, second, third in (("RL", "AP", "SI"), ("AP", "RL", "SI"), ("SI", "AP", "RL"), ("AP", "SI", "RL"))
    for first in first
    for second in second
    for third in third
]

angles = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.3, 6)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def make_affine(
    turn: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...] = (12, -34, 56)
) -> Array:
    """Affine (4, 4) of a grid turned by Euler angles in degrees, with a spacing and an origin in mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return affine


def to_logits(labels: Array | Tensor, classes: int) -> Tensor:
    """Logits (K, D, H, W) that a perfect network would give for labels (D, H, W)."""
    return one_hot(torch.as_tensor(labels).long(), classes).movedim(-1, 0).float()


def restore_slowly(logits: Array, affine: Array, shape: tuple[int, ...], reference_affine: Array) -> Array:
    """What `restore_labels` gives, without slabs or special cases."""
    indices = np.stack([*np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    position = (np.linalg.inv(affine) @ reference_affine @ indices)[:3]
    size = np.array(logits.shape[1:])[:, None]
    inside = ((position >= -0.501) & (position <= size - 0.499)).all(axis=0)
    values = [map_coordinates(channel, position, order=1, mode="nearest") for channel in logits]
    return np.where(inside, np.argmax(values, axis=0), 0).reshape(shape)


# Without resampling


@settings(deadline=None, max_examples=60)
@given(shape=shapes, spacing=spacings, turn=angles, codes=st.sampled_from(AXIS_CODES), seed=st.integers(0, 999))
def test_any_orientation_comes_back_voxel_for_voxel(
    shape: tuple[int, ...], spacing: tuple[float, ...], turn: tuple[float, ...], codes: str, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, shape)
    affine = make_affine(turn, spacing)
    turned = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.as_tensor(labels)[None], affine=torch.as_tensor(affine))
    )
    assert isinstance(turned, MetaTensor)
    restored = restore_labels(to_logits(turned.as_tensor()[0], 5), turned.affine.numpy(), shape, affine)
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, labels)


@settings(deadline=None, max_examples=30)
@given(
    turn=angles, spacing=spacings, start=st.tuples(*[st.integers(0, 3)] * 3), size=st.tuples(*[st.integers(1, 4)] * 3)
)
def test_what_was_cropped_away_is_background(
    turn: tuple[float, ...], spacing: tuple[float, ...], start: tuple[int, ...], size: tuple[int, ...]
) -> None:
    labels = np.random.default_rng(0).integers(1, 5, (7, 8, 9))
    affine = make_affine(turn, spacing)
    box = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
    cropped = affine.copy()
    cropped[:3, 3] += affine[:3, :3] @ start
    expected = np.zeros_like(labels)
    expected[box] = labels[box]
    np.testing.assert_array_equal(restore_labels(to_logits(labels[box], 5), cropped, labels.shape, affine), expected)


def test_a_padded_grid_is_cut_to_the_input() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (9, 9, 9))
    inner = make_affine((0, 0, 0), (1, 1, 1))
    outer = make_affine((0, 0, 0), (1, 1, 1), (10, -36, 54))
    restored = restore_labels(to_logits(labels, 5), outer, (4, 5, 6), inner)
    np.testing.assert_array_equal(restored, labels[2:6, 2:7, 2:8])


# With resampling


def ellipsoid(shape: tuple[int, ...], affine: Array, centre: Array, radii: Array) -> Array:
    """Labels of a grid: 1 inside an ellipsoid with axes along the world's, centre and radii in mm."""
    voxels = np.stack([*np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    world = (affine @ voxels)[:3]
    return (np.linalg.norm((world - centre[:, None]) / radii[:, None], axis=0) < 1).reshape(shape).astype(np.uint8)


def centre_of_mass(labels: Array, affine: Array) -> Array:
    """Centre in mm of the voxels labelled 1."""
    return affine[:3, :3] @ np.argwhere(labels == 1).mean(axis=0) + affine[:3, 3]


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("codes", ["RAS", "PIL"])
@pytest.mark.parametrize("turn", [(0, 0, 0), (90, 180, 0), (12, -20, 33)])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.8, 1.1, 2.5)])
def test_a_resampled_ellipsoid_comes_back_in_place(
    diagonal: bool, codes: str, turn: tuple[float, ...], spacing: tuple[float, ...]
) -> None:
    shape = tuple(round(48 / length) for length in spacing)
    affine = make_affine(turn, spacing)
    centre = (affine @ [*(np.array(shape) / 2), 1])[:3]
    labels = ellipsoid(shape, affine, centre, np.array([16.0, 13, 11]))
    volume = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.as_tensor(labels)[None].float(), affine=torch.as_tensor(affine))
    )
    volume = Spacing(pixdim=(1.5, 1.3, 1.2), diagonal=diagonal, mode="nearest")(volume)
    assert isinstance(volume, MetaTensor)
    restored = restore_labels(to_logits(volume.as_tensor()[0], 2), volume.affine.numpy(), shape, affine)
    assert 2 * (restored * labels).sum() / (restored.sum() + labels.sum()) > 0.95
    np.testing.assert_allclose(centre_of_mass(restored, affine), centre, atol=0.5)


@settings(deadline=None, max_examples=40)
@given(
    shape=shapes,
    size=shapes,
    spacing=spacings,
    reference_spacing=spacings,
    turn=st.one_of(st.just((0.0, 0.0, 0.0)), angles),
    codes=st.sampled_from(AXIS_CODES),
    seed=st.integers(0, 999),
)
def test_any_map_equals_a_slow_reference(
    shape: tuple[int, ...],
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    reference_spacing: tuple[float, ...],
    turn: tuple[float, ...],
    codes: str,
    seed: int,
) -> None:
    logits = np.random.default_rng(seed).normal(size=(4, *size)).astype(np.float32)
    axes = nib.orientations.axcodes2ornt(codes)
    affine = make_affine(turn, spacing, (1, 2, 3)) @ nib.orientations.inv_ornt_aff(axes, size)
    reference_affine = make_affine((0, 0, 0), reference_spacing, (0, 1, 2))
    restored = restore_labels(torch.from_numpy(logits), affine, shape, reference_affine)
    expected = restore_slowly(logits, affine, shape, reference_affine)
    assert (restored != expected).mean() <= 0.02  # float32 decides between all but equal classes


@pytest.mark.parametrize("codes", ["RAS", "IPL"])
def test_axis_by_axis_equals_all_at_once(codes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(5, 12, 11, 10)
    affine = make_affine((20, 30, 40), (1.5, 1.6, 1.7))
    turned = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.empty(1, 12, 11, 10), affine=torch.as_tensor(affine))
    )
    assert isinstance(turned, MetaTensor)
    reference_affine = turned.affine.numpy() @ np.diag([0.6, 0.7, 0.5, 1])
    arguments = (logits, affine, (19, 16, 21), reference_affine)
    aligned = restore_labels(*arguments)
    monkeypatch.setattr(restoring, "align_axes", lambda *_: None)
    oblique = restore_labels(*arguments)
    assert aligned.any()
    assert (aligned != oblique).mean() < 1e-4


@pytest.mark.parametrize("shape", [(1, 9, 9), (9, 1, 9), (9, 9, 1), (1, 1, 1)])
@pytest.mark.parametrize("turn", [(0, 0, 0), (15, 25, 35)])
def test_single_slices_are_volumes(shape: tuple[int, ...], turn: tuple[float, ...]) -> None:
    """A thick slice becomes several thin ones on the network's grid, or stays one."""
    affine = make_affine(turn, (1, 1, 5))
    volume = MetaTensor(torch.ones(1, *shape), affine=torch.as_tensor(affine))
    for spacing in ((1, 1, 1), (2, 2, 10)):
        resampled = Spacing(pixdim=spacing, mode="nearest")(volume)
        assert isinstance(resampled, MetaTensor)
        logits = to_logits(torch.ones(resampled.shape[1:]), 2)
        assert restore_labels(logits, resampled.affine.numpy(), shape, affine).all()


# Memory, types and errors


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_slabs_do_not_show_and_are_small(turn: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(6, 12, 11, 10)
    arguments = (logits, make_affine(turn, (1.5, 1.6, 1.7)), (20, 24, 22), make_affine((0, 0, 0), (0.9, 0.8, 0.7)))
    whole = restore_labels(*arguments)
    layers = []

    def spy(name: str) -> None:
        slabs = getattr(restoring, name)

        def spied(*given: Any) -> Any:
            for place, slab in slabs(*given):
                layers.append(len(slab))
                yield place, slab

        monkeypatch.setattr(restoring, name, spied)

    spy("_aligned_slabs")
    spy("_oblique_slabs")
    monkeypatch.setattr(restoring, "SLAB_VALUES", 1)
    np.testing.assert_array_equal(restore_labels(*arguments), whole)
    assert set(layers) == {1}


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_interpolating_everywhere_or_where_classes_may_change_is_the_same(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.nn.functional.avg_pool3d(torch.randn(classes, 15, 14, 13), 3, 1)
    grid, finer = make_affine((0, 0, 0), (1.5, 1.6, 1.7)), make_affine((0, 0, 0), (0.9, 0.8, 0.7))
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(restoring, "MOST_DISPUTED", share)
        found.append(restore_labels(logits, grid, (20, 24, 22), finer, threshold=0.0 if classes == 1 else None))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) == max(2, classes)


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_regions_are_interpolated_and_laid_over_each_other_in_their_order(
    turn: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = {"whole": [1, 2, 7], "core": [2, 7], "middle": [2]}  # which write 1, 7 and 2
    logits = torch.nn.functional.avg_pool3d(torch.randn(3, 15, 14, 13), 3, 1)
    grid, finer = make_affine(turn, (1.5, 1.6, 1.7)), make_affine((0, 0, 0), (0.9, 0.8, 0.7))
    grid[:3, 3] = finer[:3, 3]
    indices = np.stack([*np.indices((20, 24, 22)).reshape(3, -1), np.ones(20 * 24 * 22)])
    position = (np.linalg.inv(grid) @ finer @ indices)[:3]
    inside = ((position >= -0.501) & (position <= np.array(logits.shape[1:])[:, None] - 0.499)).all(axis=0)
    labels = np.zeros(20 * 24 * 22, np.uint8)
    for label, channel in zip((1, 7, 2), logits.numpy(), strict=True):
        labels[inside & (map_coordinates(channel, position, order=1, mode="nearest") > 0)] = label
    expected = labels.reshape(20, 24, 22)
    assert set(np.unique(expected)) == {0, 1, 2, 7}
    for share in (0.0, 1.0):  # everywhere, or only where labels may change
        monkeypatch.setattr(restoring, "MOST_DISPUTED", share)
        restored = restore_labels(logits, grid, (20, 24, 22), finer, regions=regions)
        assert (restored != expected).mean() < 1e-3  # float32 decides about logits of all but 0


def test_one_region_is_what_one_channel_with_a_threshold_is() -> None:
    logits = torch.randn(1, 9, 8, 7)
    arguments = (logits, np.eye(4), (15, 14, 13), np.diag([0.6, 0.6, 0.6, 1]))
    foreground = restore_labels(*arguments, threshold=0.0)
    np.testing.assert_array_equal(restore_labels(*arguments, regions={"organ": [1]}), foreground)
    np.testing.assert_array_equal(restore_labels(*arguments, regions={"organ": [300]}), 300 * foreground.astype(int))
    assert restore_labels(*arguments, regions={"organ": [300]}).dtype == np.uint16


def test_probabilities_of_regions_are_interpolated_when_asked_for() -> None:
    logits = torch.tensor([[10.0, -2.0]])[:, :, None, None]  # probability nearly 1, then 0.12
    far = (logits, np.eye(4), (2, 1, 1), np.diag([0.7, 1.0, 1.0, 1.0]))  # 1.6 as logit, 0.38 as probability
    assert restore_labels(*far, regions={"organ": [1]}).ravel().tolist() == [1, 1]
    assert restore_labels(*far, regions={"organ": [1]}, probabilities=True).ravel().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"regions": {"whole": [1, 2], "core": [2]}},
            "regions: 2 for 1 channels, threshold None: must be one for each",
        ),
        ({"regions": {"whole": [1]}, "threshold": 0.5}, "regions: 1 for 1 channels, threshold 0.5: must be one for"),
    ],
)
def test_regions_must_be_those_of_the_channels(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore_labels(torch.zeros(1, 3, 3, 3), np.eye(4), (3, 3, 3), np.eye(4), **options)


def test_nan_in_a_region_is_an_error() -> None:
    logits = torch.zeros(2, 4, 4, 4)
    logits[0, 2, 2, 2] = torch.nan
    with pytest.raises(ValueError, match="logits: NaN: must be numbers"):
        restore_labels(logits, np.eye(4), (4, 4, 4), np.eye(4), regions={"whole": [1, 2], "core": [2]})


def test_probabilities_are_interpolated_when_asked_for() -> None:
    """Between a sure voxel and a doubtful one, the sure one wins in logits, but not in probabilities."""
    logits = torch.tensor([[0.0, 0.0], [10.0, -2.0]])[:, :, None, None]  # probability of class 1: nearly 1, then 0.12
    finer = np.diag([0.6, 1.0, 1.0, 1.0])
    arguments = (logits, np.eye(4), (3, 1, 1), finer)  # at 0, 0.6 and 1.2 (within half a voxel of the last)
    assert restore_labels(*arguments).ravel().tolist() == [1, 1, 0]
    far = (logits, np.eye(4), (2, 1, 1), np.diag([0.7, 1.0, 1.0, 1.0]))  # 1.6 as logit, 0.38 as probability
    assert restore_labels(*far).ravel().tolist() == [1, 1]
    assert restore_labels(*far, probabilities=True).ravel().tolist() == [1, 0]


@pytest.mark.parametrize(("classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16), (300, np.uint16)])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 1)])
def test_labels_beyond_255_are_uint16(classes: int, dtype: Any, turn: tuple[float, ...]) -> None:
    labels = np.full((3, 3, 3), classes - 1)
    restored = restore_labels(
        to_logits(labels, classes), make_affine(turn, (1, 1, 1)), (3, 3, 3), make_affine((0, 0, 0), (1, 1, 1))
    )
    assert restored.dtype == dtype
    assert restored.max() == classes - 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_of_any_floating_type(kind: torch.dtype) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (6, 6, 6))
    for turn in ((0, 0, 0), (0, 0, 10)):
        affine, reference_affine = make_affine(turn, (1, 1, 1)), make_affine((0, 0, 0), (1, 1, 0.5))
        logits = to_logits(labels, 3)
        expected = restore_labels(logits, affine, (6, 6, 12), reference_affine)
        np.testing.assert_array_equal(restore_labels(logits.to(kind), affine, (6, 6, 12), reference_affine), expected)


def test_one_channel_needs_a_threshold() -> None:
    logits = torch.linspace(-1, 1, 27).reshape(1, 3, 3, 3)
    affine = make_affine((0, 0, 0), (1, 1, 1))
    restored = restore_labels(logits, affine, (3, 3, 3), affine, threshold=0.5)
    np.testing.assert_array_equal(restored, logits[0] > 0.5)
    with pytest.raises(ValueError, match="threshold: None for 1 channels: one channel needs one, several need None"):
        restore_labels(logits, affine, (3, 3, 3), affine)
    with pytest.raises(ValueError, match=r"threshold: 0.0 for 2 channels"):
        restore_labels(logits.repeat(2, 1, 1, 1), affine, (3, 3, 3), affine, threshold=0.0)


def test_logits_that_require_gradients_and_equal_classes() -> None:
    affine = make_affine((0, 0, 0), (1, 1, 1))
    logits = torch.zeros(3, 2, 2, 2, requires_grad=True)
    assert not restore_labels(logits, affine, (2, 2, 2), affine).any()  # the first of equals


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_nan_is_an_error_and_not_background(turn: tuple[float, ...]) -> None:
    logits = torch.zeros(3, 4, 4, 4)
    logits[1, 2, 2, 2] = torch.nan
    with pytest.raises(ValueError, match="logits: NaN: must be numbers"):
        restore_labels(logits, make_affine(turn, (1, 1, 1)), (4, 4, 4), make_affine((0, 0, 0), (1, 1, 1)))


def test_shapes_must_fit() -> None:
    affine = np.eye(4)
    with pytest.raises(ValueError, match=r"logits: shape \(4, 4, 4\): must be \(classes, depth, height, width\)"):
        restore_labels(torch.zeros(4, 4, 4), affine, (4, 4, 4), affine)
    with pytest.raises(ValueError, match=r"shape: \(4, 4\): must be three lengths in voxels"):
        restore_labels(torch.zeros(2, 4, 4, 4), affine, (4, 4), affine)


# In a pipeline


class Halves(nn.Module):
    """A network that calls what is brighter than 500 the first class, and the rest background."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([500 - image, image - 500], dim=1)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    """A bright ellipsoid on an oblique grid with axes posterior, superior, left."""
    shape, affine = (30, 20, 40), make_affine((90, 12, 100), (1.2, 2, 0.9))
    centre = (affine @ [15, 10, 20, 1])[:3]
    voxels = np.int16(1000) * ellipsoid(shape, affine, centre, np.array([14.0, 12, 13]))
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "case.nii.gz")
    return tmp_path / "case.nii.gz"


def preprocessing() -> Compose:
    return Compose(
        [
            LoadVolumed("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            CropForegroundd("image", source_key="image"),
            Spacingd("image", pixdim=(1, 1, 1)),
            EnsureTyped("image"),
        ]
    )


def check_restored(restored: Any, path: Path) -> None:
    truth = nib.Nifti1Image.from_filename(path)
    expected = np.asarray(truth.dataobj) > 500
    assert isinstance(restored, MetaTensor)
    assert restored.dtype == torch.uint8
    assert restored.shape == (1, *truth.shape)
    np.testing.assert_allclose(restored.affine, np.asarray(truth.affine), atol=1e-6)
    labels = restored.numpy()[0]
    assert 2 * (labels & expected).sum() / (labels.sum() + expected.sum()) > 0.95
    assert restored.meta["filename_or_obj"] == str(path)


def test_one_case_is_restored(image_file: Path) -> None:
    case: Any = preprocessing()({"image": str(image_file)})
    case["pred"] = Halves()(case["image"][None])[0]
    check_restored(RestoreLabelsd()(case)["pred"], image_file)
    case["pred"] = case["pred"].as_tensor()
    check_restored(RestoreLabelsd()(case)["pred"], image_file)


def test_a_batch_is_restored_after_it_was_taken_apart(image_file: Path) -> None:
    loader = DataLoader(Dataset([{"image": str(image_file)}] * 2, preprocessing()), batch_size=2)
    batch = next(iter(loader))
    batch["pred"] = Halves()(batch["image"])
    cases: Any = decollate_batch(batch)
    for case in cases:
        check_restored(RestoreLabelsd()(case)["pred"], image_file)


def test_an_evaluator_restores(image_file: Path) -> None:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([{"image": str(image_file)}] * 2, preprocessing()), batch_size=2),
        network=Halves(),
        inferer=SimpleInferer(),
        postprocessing=RestoreLabelsd(),
    )
    evaluator.run()
    outputs: Any = evaluator.state.output
    assert len(outputs) == 2
    for case in outputs:
        check_restored(case["pred"], image_file)


def test_the_image_must_be_from_a_file_and_the_logits_on_its_grid(image_file: Path) -> None:
    with pytest.raises(ValueError, match="image: Tensor: must be a MetaTensor loaded from a file"):
        RestoreLabelsd()({"image": torch.zeros(1, 4, 4, 4), "pred": torch.zeros(2, 4, 4, 4)})
    case = LoadVolumed("image")({"image": str(image_file)})
    case["pred"] = torch.zeros(2, 4, 4, 4)
    with pytest.raises(ValueError, match=r"pred: grid of \(4, 4, 4\) voxels: must be that of image, \(30, 20, 40\)"):
        RestoreLabelsd()(case)


@pytest.mark.parametrize("name", ["ct_small", "mr_small"])
def test_torso_labels_come_back(data_dir: Path, name: str) -> None:
    """On the network's grid at the same spacing voxel for voxel; labels are not contiguous and go up to 117."""
    path = data_dir / "torso" / f"{name}_labels.nii.gz"
    labels = LoadVolumed("label")({"label": str(path)})["label"]
    turned = Orientation(axcodes="PIR", labels=None)(labels)
    assert isinstance(turned, MetaTensor)
    logits = to_logits(turned.as_tensor()[0], int(labels.max()) + 1).half()
    case: dict[Any, Any] = {"image": turned, "pred": logits}
    restored = RestoreLabelsd()(case)["pred"]
    np.testing.assert_array_equal(restored.numpy(), labels.numpy())
