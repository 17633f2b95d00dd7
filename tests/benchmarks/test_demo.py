"""The demo, with bicubic interpolation in the place of the fit."""

from PIL import Image

import fastsr
from benchmarks import demo


def test_demo_writes_pictures_and_prints_what_was_gained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.fastsr, "dip", lambda small, factor: fastsr.resize(small, factor, kernel="lanczos3"))
    demo.main()
    sizes = {path.name: tuple(fastsr.load(path).shape[1:]) for path in (tmp_path / "demo").iterdir()}
    assert sizes.pop("comparison.png")[1] > 4 * 256
    assert sizes == {"input.png": (64, 64), "result.png": (256, 256)}
    with Image.open(tmp_path / "demo" / "input.png") as small:
        bicubic = fastsr.resize(small, 4)
    original = Image.fromarray(demo.data.astronaut()).crop(demo.FACE)
    expected = fastsr.metrics.psnr(bicubic, original, channel="y", shave=4)
    assert f"bicubic    {expected:.2f} dB" in capsys.readouterr().out
