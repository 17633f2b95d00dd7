import json
import re

import pytest

from fastsr.errors import InputError
from fastsr.settings_file import read_json, require_same, write_json


def test_the_same_settings_pass_and_others_are_named(tmp_path):
    path = tmp_path / "settings.json"
    write_json(path, {"factors": (2, 4), "sr": False, "device": "a"})
    require_same(path, {"factors": (2, 4), "sr": False}, tmp_path, "was prepared")
    message = (
        f"output={str(tmp_path)!r} was prepared with other settings: sr was False and is True; crop was None and is 8"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        require_same(path, {"factors": [2, 4], "sr": True, "crop": 8}, tmp_path, "was prepared")


@pytest.mark.parametrize("text", ["{", "[1]", None])
def test_what_is_no_object_is_refused(text, tmp_path):
    path = tmp_path / "settings.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"settings\.json' cannot be read"):
        read_json(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "settings.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
