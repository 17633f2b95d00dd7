"""What importing fastsr costs, and what its names are."""

import os
import subprocess
import sys

import fastsr


def run(code: str) -> str:
    path = [p for p in sys.path if p]
    prelude = f"import sys; sys.path[:0] = {path!r}\n"
    return subprocess.run([sys.executable, "-c", prelude + code], stdout=subprocess.PIPE, check=True, text=True).stdout


def test_import_loads_nothing_heavy():
    loaded = run("import fastsr, sys; print(sorted({m.split('.')[0] for m in sys.modules}))")
    for package in ("torch", "triton", "skimage", "matplotlib", "numpy", "PIL"):
        assert repr(package) not in loaded


def test_the_list_of_weights_loads_no_torch():
    out = run("from fastsr.cli import main; main(['weights'], standalone_mode=False); print('torch' in sys.modules)")
    assert out.split()[-1] == "False"


def test_calls_load_neither_skimage_nor_matplotlib_nor_a_gpu_driver():
    out = run(
        "import fastsr, torch\n"
        "fastsr.dip(torch.rand(3, 4, 4), 2, steps=1, device='cpu', progress=False, callback=fastsr.History())\n"
        "print('skimage' in sys.modules, 'matplotlib' in sys.modules, torch.cuda.is_initialized())"
    )
    assert out.split() == ["False", "False", "False"]


def test_names_stay_functions_however_they_are_imported():
    out = run(
        "import fastsr.dip.network, fastsr.resize, fastsr.sr3.network, fastsr.pulse.losses, fastsr.compare\n"
        "import fastsr\n"
        "from fastsr.dip.network import Hourglass\n"
        "names = ('dip', 'resize', 'sr3', 'pulse', 'compare', 'metrics', 'consistency')\n"
        "print(*(type(getattr(fastsr, name)).__name__ for name in names))\n"
    )
    assert out.split() == ["function"] * 5 + ["module"] * 2


def test_every_public_name_is_there():
    assert set(fastsr.__all__) <= set(dir(fastsr))
    for name in fastsr.__all__:
        assert getattr(fastsr, name) is not None


def test_unknown_names_are_refused():
    assert not hasattr(fastsr, "dipp")


def test_help_answers_in_half_a_second():
    def help_seconds() -> float:
        before = os.times()
        assert "resize" in run("from fastsr.cli import main; main(['--help'])")
        after = os.times()  # processor time: other tests run beside this one
        return after.children_user - before.children_user + after.children_system - before.children_system

    assert min(help_seconds() for _ in range(3)) < 0.5
