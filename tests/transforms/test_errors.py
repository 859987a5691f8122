"""The error for a file that cannot be used."""

import pickle

from hybridseg.transforms import VolumeError


def test_message_is_one_line() -> None:
    error = VolumeError("case.nii", "two\nlines", "must  be\tone")
    assert str(error) == "case.nii: two lines: must be one"


def test_file_name_is_not_changed() -> None:
    assert str(VolumeError("my  case.nii", "two\nlines", "must")) == "my  case.nii: two lines: must"


def test_fields_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(VolumeError("case.nii", 3, "must be 4")))
    assert (error.path, error.value, error.rule) == ("case.nii", 3, "must be 4")
