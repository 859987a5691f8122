"""Names of anatomical structures, with their SNOMED CT codes and the colours in which they are shown everywhere.

A label's name may have other words for a side before or after it: `left kidney`, `kidney_left`. What is not listed has
a code in a private scheme, made from its name, and a colour by its position among the labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Triplet = tuple[str, str, str]
"""Value, scheme and meaning of a code."""

ANATOMY: Triplet = ("123037004", "SCT", "Anatomical Structure")
ABNORMALITY: Triplet = ("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE: Triplet = ("85756007", "SCT", "Tissue")
SIDES: Mapping[str, Triplet] = {"left": ("7771000", "SCT", "Left"), "right": ("24028007", "SCT", "Right")}
PRIVATE_SCHEME = "99HYBRIDSEG"

ANATOMICAL_STRUCTURES: Mapping[str, tuple[str, str, str]] = {
    "adrenal_gland": ("23451007", "Adrenal gland", "#f2ac22"),
    "aorta": ("15825003", "Aorta", "#e8413c"),
    "bladder": ("89837001", "Bladder", "#f2e35a"),
    "brain": ("12738006", "Brain", "#f5e6c8"),
    "colon": ("71854001", "Colon", "#b97fd1"),
    "duodenum": ("38848004", "Duodenum", "#e58fd0"),
    "esophagus": ("32849002", "Esophagus", "#d78ba0"),
    "femur": ("71341001", "Femur", "#d9cfa0"),
    "gallbladder": ("28231008", "Gallbladder", "#7fc241"),
    "heart": ("80891009", "Heart", "#d8485f"),
    "hippocampus": ("5366008", "Hippocampus", "#62c5a6"),
    "inferior_vena_cava": ("64131007", "Inferior vena cava", "#4a8fe6"),
    "kidney": ("64033007", "Kidney", "#5bc8ee"),
    "liver": ("10200004", "Liver", "#ff9f43"),
    "lung": ("39607008", "Lung", "#8fd3e8"),
    "myocardium": ("74281007", "Myocardium", "#ff6f91"),
    "pancreas": ("15776009", "Pancreas", "#f7d463"),
    "portal_vein": ("32764006", "Portal vein", "#7b86f0"),
    "portal_vein_and_splenic_vein": ("110765007", "Portal vein and splenic vein", "#7b86f0"),
    "prostate": ("41216001", "Prostate", "#d9b8f0"),
    "rectum": ("34402009", "Rectum", "#a97fe0"),
    "sacrum": ("54735007", "Sacrum", "#cfc08a"),
    "small_intestine": ("30315005", "Small intestine", "#f0a9c0"),
    "spinal_cord": ("2748008", "Spinal cord", "#f4d631"),
    "spine": ("421060004", "Spine", "#efe3b0"),
    "spleen": ("78961009", "Spleen", "#a98bff"),
    "sternum": ("56873002", "Sternum", "#f4d99a"),
    "stomach": ("69695003", "Stomach", "#2ec4b6"),
    "superior_vena_cava": ("48345005", "Superior vena cava", "#3f7fd6"),
    "thyroid_gland": ("69748006", "Thyroid gland", "#5ee08a"),
    "trachea": ("44567001", "Trachea", "#b8f2e6"),
}
"""Name of a structure: its SNOMED CT code, the meaning of the code, and its colour."""

TUMOUR = ("108369006", "Neoplasm", "#90ee90")
ABNORMAL_STRUCTURES: Mapping[str, tuple[str, str, str]] = {
    "edema": ("79654002", "Edema", "#f7e463"),
    "gtv": TUMOUR,
    "gtv_mass": TUMOUR,
    "mass": TUMOUR,
    "tumor": TUMOUR,
    "tumour": TUMOUR,
}
"""As `ANATOMICAL_STRUCTURES`, of what disease makes."""

SYNONYMS = {
    "oesophagus": "esophagus",
    "small_bowel": "small_intestine",
    "thyroid": "thyroid_gland",
    "urinary_bladder": "bladder",
}

COLOURS = ("#ff9f43", "#54c6eb", "#5ee08a", "#f7e463", "#ff6f91", "#a98bff", "#2ec4b6", "#d4a373", "#b8f2e6", "#e0aaff")
"""Colours of labels that are not listed, in turn."""

RIGHT_SIDE = 0.78
"""Brightness of a structure on the right, as a share of that on the left."""


@dataclass(frozen=True, kw_only=True)
class Codes:
    """The codes of a structure.

    Args:
        category: its kind, such as anatomical structure.
        type: the structure.
        modifier: its side or part.
    """

    category: Triplet
    type: Triplet
    modifier: Triplet | None = None


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a label stands for.

    Args:
        label: its number.
        name: its name in the bundle.
        colour: as `#rrggbb`.
        codes: its codes.
    """

    label: int
    name: str
    colour: str
    codes: Codes

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, each from 0 to 255."""
        red, green, blue = bytes.fromhex(self.colour.removeprefix("#"))
        return red, green, blue

    @property
    def is_coded(self) -> bool:
        """Whether the code is of a public scheme."""
        return self.codes.type[1] != PRIVATE_SCHEME


def describe_structures(
    label_names: Mapping[int, str],
    codes: Mapping[int, Mapping[str, Iterable[str]]] | None = None,
    colours: Mapping[str, str] | None = None,
) -> list[Structure]:
    """Describe what labels stand for, in the order of their numbers.

    Args:
        label_names: name of each label.
        codes: codes of labels that replace those found by name: `type`, and optionally `modifier` and `category` (by
            default anatomical structure), each with value, scheme and meaning.
        colours: colours that replace those found by name, by the label's name, as `#rrggbb`.
    """
    found = label_colours([name for _, name in sorted(label_names.items())])
    return [
        Structure(
            label=label,
            name=name,
            colour=(colours or {}).get(name, colour),
            codes=_given_codes(codes[label]) if codes and label in codes else find_codes(name),
        )
        for (label, name), colour in zip(sorted(label_names.items()), found, strict=True)
    ]


def label_colours(names: Iterable[str]) -> list[str]:
    """Return the colour `#rrggbb` of each label by its name, in order; that of a label that is not listed by its place.

    Examples:
        >>> label_colours(["liver", "left kidney", "right kidney", "something new"])
        ['#ff9f43', '#5bc8ee', '#479cba', '#f7e463']
    """
    found = []
    for index, name in enumerate(names):
        base, side = split_side(name)
        listed = ANATOMICAL_STRUCTURES.get(base) or ABNORMAL_STRUCTURES.get(base)
        colour = listed[2] if listed else COLOURS[index % len(COLOURS)]
        if listed and side == "right":
            colour = "#" + bytes(round(RIGHT_SIDE * part) for part in bytes.fromhex(colour[1:])).hex()
        found.append(colour)
    return found


def find_codes(name: str) -> Codes:
    """Return the codes of a label by its name."""
    base, side = split_side(name)
    for category, listed in ((ANATOMY, ANATOMICAL_STRUCTURES), (ABNORMALITY, ABNORMAL_STRUCTURES)):
        if base in listed:
            value, meaning, _ = listed[base]
            return Codes(category=category, type=(value, "SCT", meaning), modifier=SIDES.get(side))
    return Codes(category=TISSUE, type=(name.upper().replace(" ", "_"), PRIVATE_SCHEME, name))


def split_side(name: str) -> tuple[str, str]:
    """Return a name in lower case without its side, as listed above, and the side, which may be empty.

    Examples:
        >>> split_side("Left kidney"), split_side("urinary_bladder")
        (('kidney', 'left'), ('bladder', ''))
    """
    words = name.lower().replace(" ", "_").replace("-", "_").split("_")
    base = "_".join(word for word in words if word not in SIDES)
    return SYNONYMS.get(base, base), next((word for word in words if word in SIDES), "")


def _given_codes(codes: Mapping[str, Iterable[str]]) -> Codes:
    """Return the codes that a bundle gives to a label."""
    return Codes(
        category=_triplet(codes.get("category", ANATOMY)),
        type=_triplet(codes["type"]),
        modifier=_triplet(codes["modifier"]) if "modifier" in codes else None,
    )


def _triplet(code: Iterable[str]) -> Triplet:
    value, scheme, meaning = code
    return value, scheme, meaning
