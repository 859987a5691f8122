"""Draw the patient of a phantom CT: the tissues of an abdomen, in mm, with the variation between people.

Written for this project; sizes and densities are rounded from textbooks. Organs differ by shape and position: an organ
and its neighbours (liver, spleen, muscle, bowel, stomach; spine and ribs) have similar densities, which change with
contrast medium. Coordinates are those of the body; see `abdomen_patient`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .abdomen_patient import HALF_DEPTH, HALF_WIDTH, SPINE, VERTEBRA_HEIGHT, Patient, Tissue
from .shapes import (
    EVERYWHERE,
    Shape,
    Vector,
    complement,
    ellipsoid,
    grown,
    half_space,
    intersection,
    slabs,
    union,
    waves,
)


def draw_patient(generator: np.random.Generator) -> Patient:
    """Draw size, pose, deformation, fat, contrast medium, and the position, size and tilt of every organ."""
    size = generator.uniform(0.94, 1.07, size=3)
    pose = Rotation.from_euler("xyz", generator.normal(scale=(2, 2, 4)), degrees=True).as_matrix() * size
    displacement = tuple(waves(generator, amplitude=3.0, wavelength=90.0) for _ in range(3))
    abdomen = _Abdomen(generator)
    tissues = abdomen.tissues()  # also draws the vertebra
    return Patient(tissues, pose, displacement, abdomen.vertebra)


class _Abdomen:
    """Draws the tissues of one patient.

    Args:
        generator: random generator.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        contrast = generator.choice([0.0, generator.uniform(0.3, 1.0)])
        self.contrast = contrast
        self.muscle = self._density(54, 4) + 8 * contrast
        self.blood = self._density(42, 4) + 130 * contrast
        self.fat = self._density(-102, 5)
        self.bone = self._density(420, 60)
        thickness = generator.uniform(9, 24)  # of the fat below the skin
        self.skin = ellipsoid((0, 0, 0), (HALF_WIDTH, HALF_DEPTH, EVERYWHERE), power=2.4)
        wall_radii = (HALF_WIDTH - thickness, HALF_DEPTH - 0.8 * thickness, EVERYWHERE)
        self.wall = ellipsoid((0, -0.25 * thickness, 0), wall_radii, power=2.3)
        self.cavity = grown(self.wall, -11)
        self.dome = self._blob((0, 4, -22), (140, 102, 116), spread=0.4)  # below the diaphragm
        self.vertebra = 0.0

    def tissues(self) -> tuple[Tissue, ...]:
        """Draw all tissues, later ones over earlier ones."""
        return (
            *self._table(),
            Tissue(self.skin, 20),
            Tissue(grown(self.skin, -2.5), self.fat),
            Tissue(self.wall, self.muscle),
            Tissue(self.cavity, self.fat),
            *self._muscles(),
            *self._chest(),
            *self._bowel(),
            *self._stomach(),
            *self._vessels(),
            *self._spleen(),
            *self._liver(),
            *self._kidney(side=-1, organ=3),
            *self._kidney(side=1, organ=4),
            *self._spine(),
        )

    def _density(self, mean: float, deviation: float) -> float:
        return float(self.generator.normal(mean, deviation))

    def _blob(self, centre: Vector, radii: Vector, turn: Vector = (0, 0, 0), spread: float = 1.0) -> Shape:
        """Draw an ellipsoid, shifted by about 4 mm, scaled by up to 12 %, turned by about 6 degrees, times `spread`."""
        moved = np.add(centre, self.generator.normal(scale=4 * spread, size=3))
        scaled = np.multiply(radii, self.generator.uniform(1 - 0.12 * spread, 1 + 0.12 * spread, size=3))
        return ellipsoid(moved, scaled, np.add(turn, self.generator.normal(scale=6 * spread, size=3)))

    def _table(self) -> list[Tissue]:
        """Draw a curved couch under half of the patients."""
        if self.generator.random() < 0.5:
            return []
        couch = ellipsoid((0, 190, 0), (300, 190 + HALF_DEPTH + 14, EVERYWHERE))
        under = intersection(couch, half_space((0, 1, 0), -HALF_DEPTH + 16), complement(grown(couch, -8)))
        return [Tissue(under, self._density(-250, 80))]

    def _muscles(self) -> list[Tissue]:
        """Draw the muscles behind the spine, and those in front of it (psoas) from the kidneys down."""
        tissues = []
        for side in (-1, 1):
            back = intersection(self._blob((36 * side, -84, 0), (32, 20, EVERYWHERE), spread=0.5), grown(self.wall, -1))
            psoas = self._blob((38 * side, -50, -100), (19, 21, 95), turn=(0, 6 * side, 0), spread=0.5)
            tissues += [Tissue(back, self.muscle), Tissue(psoas, self.muscle)]
        return tissues

    def _chest(self) -> list[Tissue]:
        """Draw the diaphragm, the lungs above it, the lower part of the heart, and ribs that descend to the front."""
        above = intersection(grown(self.cavity, -1), half_space((0, 0, -1), -38))
        lungs = intersection(above, complement(grown(self.dome, 4)))
        heart = intersection(above, self._blob((-28, 32, 128), (58, 48, 40)), complement(grown(self.dome, 4)))
        ring = intersection(grown(self.wall, -1), complement(grown(self.wall, -9)))
        costal_margin = half_space((0, 0.55, -0.8), self.generator.uniform(12, 30))
        ribs = intersection(ring, slabs((0, 0.4, 1), 27, 11, self.generator.uniform(0, 27)), costal_margin)
        return [
            Tissue(intersection(above, grown(self.wall, -9)), self.muscle),
            Tissue(lungs, self._density(-820, 30)),
            Tissue(heart, self.blood),
            Tissue(ribs, 0.8 * self.bone),
        ]

    def _bowel(self) -> list[Tissue]:
        """Draw loops of soft tissue, some with gas or oral contrast medium, and the two sides of the colon."""
        draw = self.generator.uniform
        loops = []
        for _ in range(16):
            centre = (draw(-85, 85), draw(-5, 75), draw(-115, -25))
            loops.append((centre, (draw(14, 30), draw(12, 20), draw(12, 22))))
        for side in (-1, 1):
            loops.append(((112 * side, -22, -75), (22, 24, 60)))
        tissues = []
        for centre, radii in loops:
            loop = intersection(self._blob(centre, radii), grown(self.cavity, -3))
            content = self.generator.choice([0.0, 0.0, draw(-900, -500), draw(60, 220)])
            tissues.append(Tissue(loop, self._density(40, 12) + 25 * self.contrast))
            if content:
                tissues.append(Tissue(grown(loop, -5), content))
        return tissues

    def _stomach(self) -> list[Tissue]:
        """Draw fundus, body and antrum, filled with fluid and, since the patient is supine, gas towards the front."""
        fundus = self._blob((-52, 0, 52), (34, 40, 34))
        body = self._blob((-52, 38, 18), (30, 30, 42))
        antrum = self._blob((-8, 52, -12), (40, 18, 18))
        whole = intersection(union(fundus, body, antrum, blend=15), grown(self.dome, -2), grown(self.cavity, -2))
        gas = intersection(grown(whole, -5), half_space((0, -1, 0), -self.generator.uniform(25, 55)))
        wall = Tissue(whole, self._density(42, 6) + 20 * self.contrast)
        return [wall, Tissue(grown(whole, -5), self._density(25, 20)), Tissue(gas, -950)]

    def _vessels(self) -> list[Tissue]:
        """Draw aorta, inferior vena cava and pancreas."""
        aorta = self._blob((-10, -17, 0), (10, 10, EVERYWHERE), spread=0.5)
        vena_cava = self._blob((20, -18, 0), (12, 9, EVERYWHERE), spread=0.5)
        head, neck, tail = ((26, 4, -14), (22, 16, 24)), ((-8, 18, 0), (24, 10, 11)), ((-50, -2, 16), (34, 10, 11))
        pancreas = union(self._blob(*head), self._blob(*neck), self._blob(*tail, turn=(0, 15, 25)), blend=8)
        return [
            Tissue(pancreas, self._density(40, 6) + 50 * self.contrast),
            Tissue(aorta, self.blood),
            Tissue(vena_cava, self.blood - 15 * self.contrast),
        ]

    def _spleen(self) -> list[Tissue]:
        """Draw a crescent along the left ribs, hollow towards the stomach."""
        whole, hollow = (
            self._blob((-106, -36, 34), (34, 56, 54), turn=(-20, 0, 15)),
            self._blob((-66, -12, 28), (40, 52, 66)),
        )
        spleen = intersection(whole, complement(hollow), grown(self.dome, -3), grown(self.cavity, -2))
        return [Tissue(spleen, self._density(50, 5) + 65 * self.contrast, organ=2)]

    def _liver(self) -> list[Tissue]:
        """Draw a wedge under the diaphragm, thick on the right, with vessels, often a lesion, and the gallbladder."""
        right = self._blob((76, 6, 22), (70, 84, 76))
        left = self._blob((4, 48, 46), (78, 36, 34), turn=(0, 12, 0))
        hollow = self._blob((6, -30, -34), (66, 66, 66), turn=(0, -20, 0))  # for kidney, duodenum and spine
        whole = intersection(
            union(right, left, blend=25), complement(hollow), grown(self.dome, -2), grown(self.cavity, -2)
        )
        density = self._density(56, 9) + 45 * self.contrast
        veins = [self._blob((44, -2, 52), (46, 6, 5), turn=(0, 10, angle)) for angle in (-35, 10, 50)]
        lesion = ellipsoid(self.generator.uniform((50, -30, 0), (110, 50, 60)), self.generator.uniform(6, 16, size=3))
        gallbladder = self._blob((46, 44, -24), (14, 22, 22))
        return [
            Tissue(whole, density, organ=1),
            Tissue(intersection(grown(whole, -6), union(*veins)), density + 0.4 * (self.blood - density), organ=1),
            Tissue(intersection(grown(whole, -4), lesion), density - self.generator.uniform(0, 45), organ=1),
            Tissue(gallbladder, self._density(8, 5)),
        ]

    def _kidney(self, side: int, organ: int) -> list[Tissue]:
        """Draw a bean in fat, upper pole towards the spine, with darker pyramids and a fatty hilum towards the middle.

        Args:
            side: 1 right, -1 left; the right one is lower, under the liver.
            organ: label of the kidney.
        """
        move = self.generator.normal(scale=5, size=3)
        centre = np.add((66 * side, -46, -16 if side > 0 else -4), move)
        turn = np.add((8, 12 * side, 25 * side), self.generator.normal(scale=6, size=3))
        radii = np.multiply((26, 29, 53), self.generator.uniform(0.88, 1.1, size=3))
        bean = ellipsoid(centre, radii, turn)
        hilum = self._blob(centre - (24 * side, -8, 0), (19, 11, 17), spread=0.5)
        kidney = intersection(bean, complement(hilum))
        density = self._density(33, 4) + 135 * self.contrast
        return [
            Tissue(grown(bean, 5), self.fat),
            Tissue(kidney, density, organ),
            Tissue(grown(kidney, -8), density - 45 * self.contrast, organ),
        ]

    def _spine(self) -> list[Tissue]:
        """Draw vertebrae with a dense shell around spongy bone, discs between them, arch, processes and canal."""
        column = self._blob((0, -48, 0), (23, 18, EVERYWHERE), spread=0.3)
        period = VERTEBRA_HEIGHT
        phase = self.vertebra = self.generator.uniform(0, period)
        bodies = intersection(column, slabs((0, 0, 1), period, 25, phase))
        arch = ellipsoid((0, -73, 0), (17, 14, EVERYWHERE))
        spinous = intersection(ellipsoid((0, -92, 0), (5, 17, EVERYWHERE)), slabs((0, -0.3, 1), period, 20, phase))
        transverse = intersection(ellipsoid((0, -70, 0), (44, 6, EVERYWHERE)), slabs((0, 0, 1), period, 14, phase))
        spongy = 0.45 * self.bone
        return [
            Tissue(column, self._density(85, 8), organ=SPINE),
            Tissue(union(arch, spinous, transverse), 0.75 * self.bone, organ=SPINE),
            Tissue(bodies, self.bone, organ=SPINE),
            Tissue(grown(bodies, -3), spongy, organ=SPINE),
            Tissue(ellipsoid((0, -73, 0), (9, 8, EVERYWHERE)), self._density(25, 5), organ=SPINE),
        ]
