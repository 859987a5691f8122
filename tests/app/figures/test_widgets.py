"""The controls redraw only what has changed, and follow changes made in Python."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from hybridseg.app.figures.planes import PLANES
from hybridseg.app.figures.viewer import SliceViewer

from .viewed import LABELS, make_viewer, pixels, volume

if TYPE_CHECKING:
    from hybridseg.app.figures.widgets import Controls

pytest.importorskip("anywidget")


@pytest.fixture
def viewer() -> SliceViewer:
    return make_viewer()


@pytest.fixture
def controls(viewer: SliceViewer) -> Controls:
    controls = viewer.controls()
    assert controls is not None
    return controls


def test_slider_redraws_its_plane_and_press_the_two_others(viewer: SliceViewer, controls: Controls) -> None:
    axial, coronal, sagittal = PLANES

    def redrawn(act: Any) -> set[str]:
        before = {plane: picture.png for plane, picture in controls.pictures.items()}
        act()
        return {plane.name for plane, picture in controls.pictures.items() if picture.png is not before[plane]}

    viewer.position = (10, 10, 5)
    controls.refresh()
    assert redrawn(lambda: setattr(controls.sliders[axial], "value", 3)) == {"axial"}
    assert viewer.position == (10, 10, 3)
    assert controls.pictures[coronal].cross == viewer.place(coronal)
    assert controls.pictures[coronal].cross[1] == pytest.approx(1 - 3.5 / 10)
    assert redrawn(lambda: setattr(controls.pictures[axial], "pressed", (0.25, 0.25))) == {"coronal", "sagittal"}
    assert viewer.position == (22, 15, 3)
    assert [controls.sliders[plane].value for plane in (axial, coronal, sagittal)] == [3, 15, 22]
    assert redrawn(lambda: setattr(controls.opacity, "value", 0.9)) == {"axial", "coronal", "sagittal"}
    assert "L 7 A 30 S 9 mm" in controls.status.value


def test_controls_choose_labels_and_go_to_them(viewer: SliceViewer, controls: Controls) -> None:
    assert controls is viewer.controls()
    controls.labels[1].value = False
    controls.reference.value = False
    assert (set(viewer.chosen), viewer.outlined) == ({2}, False)
    controls.labels[1].value = True
    assert set(viewer.chosen) == {1, 2}
    controls.jump.value = 2
    assert viewer.labels is not None
    assert viewer.labels[viewer.position] == 2
    viewer.position = (0, 0, 0)
    controls.jump.value = 2  # the same label again
    assert viewer.labels[viewer.position] == 2
    table = controls.box.children[-1].value
    assert "&lt;spleen&gt;" in table
    assert "<spleen>" not in table


def test_controls_follow_changes_made_in_python(viewer: SliceViewer, controls: Controls) -> None:
    before = controls.pictures[PLANES[0]].png
    viewer.chosen, viewer.opacity, viewer.outlined, viewer.position = [2], 0.6, False, (8, 9, 4)
    controls.refresh()
    assert [box.value for box in controls.labels.values()] == [False, True]
    assert (controls.opacity.value, controls.reference.value) == (0.6, False)
    assert [controls.sliders[plane].value for plane in PLANES] == [4, 9, 8]
    assert (set(viewer.chosen), viewer.opacity, viewer.outlined) == ({2}, 0.6, False)
    assert controls.pictures[PLANES[0]].png != before


def test_viewer_without_labels_has_no_label_controls() -> None:
    controls = SliceViewer(volume(LABELS)).controls()
    assert controls is not None
    assert controls.opacity not in [one for box in controls.box.children for one in getattr(box, "children", ())]


def test_notebook_gets_the_controls_and_a_picture(viewer: SliceViewer) -> None:
    shown = viewer._repr_mimebundle_()
    assert set(shown) >= {"application/vnd.jupyter.widget-view+json", "image/jpeg", "text/plain"}
    assert pixels(b64decode(shown["image/jpeg"])).shape[1] > 300
