"""The notebook widgets of a slice viewer; needs ipywidgets and anywidget."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from functools import partial
from html import escape
from typing import Any, Protocol

import anywidget
import ipywidgets
import traitlets

from hybridseg.transforms.structures import label_colours

from .planes import PLANES, Plane, Volume


class Viewer(Protocol):
    """What the controls show and change; `SliceViewer` says what each part is."""

    image: Volume
    reference: Volume | None
    label_names: dict[int, str]
    rows: list[list[str]]
    position: tuple[int, ...]
    opacity: float
    chosen: Collection[int]
    outlined: bool

    def show(self, *labels: int) -> None: ...
    def place(self, plane: Plane) -> tuple[float, float]: ...
    def move_to(self, plane: Plane, x: float, y: float) -> None: ...
    def here(self) -> str: ...
    def draw(self, plane: Plane) -> bytes: ...


class Picture(anywidget.AnyWidget):
    """A picture with a cross on it that reports where it is pressed.

    Attributes:
        png: the picture.
        cross: centre of the cross, as shares of the width from the left and of the height from the top.
        pressed: where the pointer is or was last held down, in the same shares.
    """

    _esm = """
    function render({ model, el }) {
      const frame = document.createElement("div"), picture = document.createElement("img");
      const lines = ["left", "top"].map(() => document.createElement("div"));
      frame.style.cssText = "position: relative; display: inline-block; cursor: crosshair; touch-action: none";
      picture.style.cssText = "display: block; max-width: 100%";
      picture.draggable = false;
      lines.forEach((line) => (line.style.cssText = "position: absolute; background: #fff9; pointer-events: none"));
      const show = () => {
        URL.revokeObjectURL(picture.src);
        picture.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
      };
      const cross = () => {
        const [x, y] = model.get("cross").map((share) => 100 * share + "%");
        Object.assign(lines[0].style, { left: x, top: 0, width: "1px", height: "100%" });
        Object.assign(lines[1].style, { left: 0, top: y, width: "100%", height: "1px" });
      };
      const press = (event) => {
        if (event.buttons !== 1) return;
        const box = picture.getBoundingClientRect();
        model.set("pressed", [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
        model.save_changes();
      };
      frame.addEventListener("pointerdown", (event) => { frame.setPointerCapture(event.pointerId); press(event); });
      frame.addEventListener("pointermove", press);
      model.on("change:png", show);
      model.on("change:cross", cross);
      frame.append(picture, ...lines);
      el.append(frame);
      show();
      cross();
    }
    export default { render };
    """
    png = traitlets.Bytes().tag(sync=True)
    cross = traitlets.Tuple((0.5, 0.5)).tag(sync=True)
    pressed = traitlets.Tuple((0.5, 0.5)).tag(sync=True)


class Controls:
    """Three pictures, each with a slider, and below them the controls of opacity and labels, and the table.

    A plane is redrawn only when it has changed; the crosses move without redrawing.

    Args:
        viewer: the viewer to show and change.

    Attributes:
        box: the widget that holds all others.
        pictures: one for each plane.
        sliders: position of each plane.
        opacity: opacity of the labels.
        labels: a check box for each label.
        reference: check box, whether the reference is outlined.
        jump: drop-down list of labels to go to.
        status: text on the voxel at the position.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._drawn: dict[Plane, Hashable] = {}
        self.pictures = {plane: Picture() for plane in PLANES}
        self.sliders = {
            plane: ipywidgets.IntSlider(max=length - 1, description=plane.name, layout=ipywidgets.Layout(width="95%"))
            for plane, length in ((plane, viewer.image.shape[plane.axis]) for plane in PLANES)
        }
        self.opacity = ipywidgets.FloatSlider(max=1, step=0.05, description="opacity")
        self.labels = {label: check_box(name) for label, name in viewer.label_names.items()}
        self.reference = check_box("outline the reference")
        names = {name: label for label, name in viewer.label_names.items()}
        self.jump = ipywidgets.Dropdown(options={"": None} | names, description="go to")
        self.status = ipywidgets.HTML()
        self.box = ipywidgets.VBox(self._arrange())
        self.refresh()
        for plane in PLANES:
            self.pictures[plane].observe(partial(self._press, plane), "pressed")
            self.sliders[plane].observe(partial(self._slide, plane), "value")
        for label, box in self.labels.items():
            box.observe(partial(self._choose, label), "value")
        self.opacity.observe(partial(self._set, "opacity"), "value")
        self.reference.observe(partial(self._set, "outlined"), "value")
        self.jump.observe(self._jump, "value")

    def refresh(self) -> None:
        """Update the widgets from the viewer."""
        viewer = self.viewer
        self.opacity.value, self.reference.value = viewer.opacity, viewer.outlined
        for label, box in self.labels.items():
            box.value = label in viewer.chosen
        chosen = (viewer.opacity, viewer.outlined, frozenset(viewer.chosen))
        for plane in PLANES:
            self.sliders[plane].value = viewer.position[plane.axis]
            self.pictures[plane].cross = viewer.place(plane)
            shown = (viewer.position[plane.axis], *chosen)
            if self._drawn.get(plane) != shown:
                self._drawn[plane] = shown
                self.pictures[plane].png = viewer.draw(plane)
        self.status.value = f"<pre>{escape(viewer.here())}</pre>"

    def _arrange(self) -> list[ipywidgets.Widget]:
        apart = ipywidgets.Layout(margin="0 6px 0 0")
        planes = [ipywidgets.VBox([self.pictures[plane], self.sliders[plane]], layout=apart) for plane in PLANES]
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="flex-start")
        overlay = [self.jump, self.opacity] if self.labels else []
        if self.viewer.reference is not None:
            overlay.append(self.reference)
        lines = [ipywidgets.Box(planes, layout=row), self.status, ipywidgets.Box(overlay, layout=row)]
        return [*lines, ipywidgets.Box(list(self.labels.values()), layout=row), ipywidgets.HTML(self._table())]

    def _table(self) -> str:
        """Return the statistics as HTML, with the labels' colours."""
        if not self.viewer.label_names:
            return ""
        colours = label_colours(self.viewer.label_names.values())
        marks = ["", *(f"<span style='color: {colour}'>&#9632;</span> " for colour in colours)]
        lines = []
        for mark, (name, *numbers) in zip(marks, self.viewer.rows, strict=True):
            cells = "".join(f"<td style='padding-left: 2em; text-align: right'>{escape(cell)}</td>" for cell in numbers)
            lines.append(f"<tr><td>{mark}{escape(name)}</td>{cells}</tr>")
        return f"<table>{''.join(lines)}</table>"

    def _press(self, plane: Plane, change: Any) -> None:
        self.viewer.move_to(plane, *change["new"])
        self.refresh()

    def _slide(self, plane: Plane, change: Any) -> None:
        position = list(self.viewer.position)
        position[plane.axis] = change["new"]
        self.viewer.position = tuple(position)
        self.refresh()

    def _choose(self, label: int, change: Any) -> None:
        others = set(self.viewer.chosen) - {label}
        self.viewer.chosen = others | {label} if change["new"] else others
        self.refresh()

    def _set(self, name: str, change: Any) -> None:
        setattr(self.viewer, name, change["new"])
        self.refresh()

    def _jump(self, change: Any) -> None:
        if change["new"] is not None:
            self.viewer.show(change["new"])
            self.refresh()
            self.jump.value = None  # so that the same label can be chosen again


def check_box(description: str) -> ipywidgets.Checkbox:
    """Return a check box as wide as its text."""
    return ipywidgets.Checkbox(
        description=description, indent=False, layout=ipywidgets.Layout(width="auto", margin="0 1em 0 0")
    )
