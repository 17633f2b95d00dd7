import subprocess
import sys

import pytest

from fastsr.errors import InputError, InputTypeError
from fastsr.methods import Method, NoOptions, find, names, register


def upscale(picture, factor, options, device, kernel):
    return picture


pytestmark = pytest.mark.usefixtures("registry")


def test_a_registered_method_is_found_and_named():
    method = Method("mine", "Mine.", NoOptions, upscale)
    register(method)
    assert find("mine") is method
    assert names() == ["bicubic", "lanczos", "dip", "srgan", "sr3", "pulse", "mine"]


def test_the_last_one_of_a_name_counts():
    first, second = (Method("bicubic", text, NoOptions, upscale) for text in "ab")
    register(first)
    register(second)
    assert find("bicubic") is second
    assert names().count("bicubic") == 1


def test_an_unknown_method_is_refused():
    with pytest.raises(
        InputError, match="method='dipp' is unknown; choose one of bicubic, lanczos, dip, srgan, sr3, pulse"
    ):
        find("dipp")


def test_options_are_a_dataclass():
    with pytest.raises(InputTypeError, match="options=<class 'dict'> of method 'mine' is no dataclass"):
        register(Method("mine", "Mine.", dict, upscale))


def test_names_need_no_torch_and_built_in_methods_are_imported_when_asked_for():
    code = (
        "import sys; from fastsr.methods import find, names; names(); print('torch' in sys.modules)\n"
        "for name in names(): print(find(name).name)\n"
    )
    prelude = f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
    out = subprocess.run([sys.executable, "-c", prelude + code], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert out.split() == ["False", "bicubic", "lanczos", "dip", "srgan", "sr3", "pulse"]
