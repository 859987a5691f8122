"""Choose labels by number or name: the syntax of `--labels` in every command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose_labels(texts: Sequence[str], names: Mapping[int, str]) -> dict[int, str]:
    """Return the names of chosen labels by number.

    Args:
        texts: labels, separated by commas where a text has several: `NAME`, `NUMBER`, or `NUMBER=NAME`, which names a
            label that has no name or another one.
        names: the known names by number; may be empty.

    Raises:
        ValueError: a label is not known, or is given twice.

    Examples:
        >>> choose_labels(["spleen,2", "3=left kidney"], {1: "spleen", 2: "liver"})
        {1: 'spleen', 2: 'liver', 3: 'left kidney'}
    """
    numbers = {name: number for number, name in names.items()}
    chosen: dict[int, str] = {}
    for word in (word for text in texts for word in ([text] if text in numbers else text.split(","))):
        number, equals, name = word.partition("=")
        if word in numbers:
            label, name = numbers[word], word
        elif number.isdecimal() and int(number) >= 1 and (equals or not names or int(number) in names):
            label = int(number)
            name = name or names.get(label, number)
        else:
            rule = f"must be one of {', '.join(names.values())}" if names else "must be a number from 1, or NUMBER=NAME"
            raise ValueError(f"labels: {word!r}: {rule}")
        if label in chosen:
            raise ValueError(f"labels: label {label}: must be given once")
        if name in chosen.values():
            raise ValueError(f"labels: name {name}: must be given once")
        chosen[label] = name
    return chosen
