from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.errors import InputError, OutputError
from fastsr.resize import resize
from fastsr.sheets import TOP, in_columns, opaque, side_by_side
from fastsr.sr3 import sr3
from fastsr.sr3.process import DURATION, HELD, KEPT, LARGEST_SIDE, SHOWN, Process
from fastsr.sr3.sampling import State


def shown(steps: int, size: tuple[int, int] = (24, 32), channels: int = 3, first: int = 0) -> Process:
    """A process whose pictures become lighter from step to step, of two samples."""
    process = Process()
    for step in range(1, steps + 1):
        process(step, *seen(step, steps, size, channels, first))
    return process


def seen(step, steps, size=(24, 32), channels=3, first=0):
    image = torch.zeros(2, channels, *size)
    image[0] = step / steps
    noisy = torch.full((2, 3, *size), 9.0)
    noisy[0] = -step / steps
    return image, State(step, steps, 0.6, noisy, first)


@pytest.mark.parametrize("steps", [1, 2, 7, KEPT, KEPT + 1, 2000])
def test_steps_are_kept_evenly_and_the_first_and_the_last_are_among_them(steps):
    kept = [frame.step for frame in shown(steps, (2, 2)).frames]
    assert len(kept) == min(steps, KEPT)
    assert (kept[0], kept[-1]) == (1, steps)
    gaps = np.diff(kept)
    assert not len(gaps) or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)


def test_a_frame_is_of_the_first_sample():
    frame = shown(4).frames[1]
    assert (frame.step, frame.steps, round(frame.noise, 9)) == (2, 4, 0.8)
    assert np.array_equal(frame.seen, np.full((24, 32, 3), 128))
    assert np.array_equal(frame.noisy, np.full((24, 32, 3), 64))


def test_noise_beyond_the_colours_is_clipped():
    process = Process()
    image, state = seen(1, 2)
    state.noisy[0, 0], state.noisy[0, 1] = 3, -3
    process(1, image, state)
    assert process.frames[0].noisy.getpixel((0, 0)) == (255, 0, 64)


def test_later_steps_may_overwrite_what_was_seen():
    process = Process()
    image, state = seen(1, 2)
    process(1, image, state)
    image.zero_()
    state.noisy.zero_()
    assert process.frames[0].seen.getpixel((0, 0)) == (128, 128, 128)
    assert process.frames[0].noisy.getpixel((0, 0)) == (64, 64, 64)


def test_grey_pictures_are_shown_beside_the_colours_of_their_noise():
    frame = shown(2, channels=1).frames[0]
    assert frame.seen.mode == frame.noisy.mode == "RGB"
    assert frame.seen.getpixel((0, 0)) == (128, 128, 128)


def test_other_samples_and_other_pictures_are_left_out():
    assert shown(3, first=2).frames == []
    process = shown(3)
    frames = list(process.frames)
    process(1, *seen(1, 3, first=2))
    assert process.frames == frames


def test_a_second_run_takes_the_place_of_the_first():
    process = shown(5)
    process(1, *seen(1, 3))
    assert [(frame.step, frame.steps) for frame in process.frames] == [(1, 3)]


def test_large_pictures_are_reduced():
    process = Process()
    image, noisy = torch.rand(1, 3, 300, 1200), torch.rand(1, 3, 300, 1200)
    process(1, image, State(1, 1, 0.5, noisy))
    frame = process.frames[0]
    assert frame.seen.size == frame.noisy.size == (LARGEST_SIDE, 128)
    assert np.array_equal(frame.seen, opaque(resize(image[0], size=(128, LARGEST_SIDE))))


def test_values_that_are_not_finite_do_not_end_the_work():
    process = Process()
    image, state = seen(1, 1)
    process(1, image * torch.nan, state)
    assert process.frames[0].seen.getpixel((0, 0)) == (0, 0, 0)


def test_a_strip_has_the_noisy_picture_above_what_is_seen():
    frames = shown(SHOWN).frames
    columns = [(f"step {one.step}, noise 0.80", [one.noisy, one.seen]) for one in frames]
    assert np.array_equal(shown(SHOWN).strip(), in_columns(columns))


def test_a_strip_of_many_steps_has_some_of_them():
    process = shown(100, (4, 200))
    frames = [process.frames[index] for index in (0, 6, 11, 17, 22, 28, 33, 39)]
    assert (frames[0].step, frames[-1].step) == (1, 100)
    columns = [(f"step {one.step}, noise 0.80", [one.noisy, one.seen]) for one in frames]
    assert np.array_equal(process.strip(), in_columns(columns))


def error(one: Image.Image, other: Image.Image) -> float:
    """The root mean square difference in levels."""
    return float(np.sqrt(((np.asarray(one, float) - np.asarray(other, float)) ** 2).mean()))


def animated(path: Path) -> tuple[list[Image.Image], list[int], int]:
    with Image.open(path) as image:
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(image.convert("RGB"))
            durations.append(image.info["duration"])
        return frames, durations, image.info["loop"]


@pytest.mark.parametrize("steps", [1, 12])
def test_an_animation_shows_the_steps_and_holds_the_last(steps, tmp_path):
    process = shown(steps, (40, 300))
    process.animation(tmp_path / "a.gif")
    frames, durations, loop = animated(tmp_path / "a.gif")
    assert durations == [DURATION] * (steps - 1) + [HELD]
    assert loop == 0  # for ever
    assert len({frame.size for frame in frames}) == 1
    for frame, one in zip(frames, process.frames, strict=True):
        title = f"seen in step {one.step} of {steps}, noise 0.80"
        sheet = side_by_side([("noisy picture", one.noisy), (title, one.seen)])
        assert error(frame, sheet) < 4


def test_pictures_smaller_than_their_titles_do_not_jump(tmp_path):
    process = shown(12, (8, 8))
    process.animation(tmp_path / "a.gif")
    frames, _, _ = animated(tmp_path / "a.gif")
    assert len(frames) == 12
    places = {tuple(np.argwhere(np.asarray(frame)[TOP:].min(-1) < 200).max(0)) for frame in frames[:8]}
    assert len(places) == 1
    assert len({frame.size for frame in frames}) == 1


def test_colours_are_kept_as_well_as_256_can(tmp_path):
    process = Process()
    smooth = resize(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)), size=(96, 320))[None]
    process(1, smooth, State(1, 1, 0.5, 2 * smooth - 1))
    process.animation(tmp_path / "a.gif")
    frame = animated(tmp_path / "a.gif")[0][0]
    sheet = side_by_side([("noisy picture", smooth[0]), ("seen in step 1 of 1, noise 0.87", smooth[0])])
    assert error(frame, sheet) < 10
    assert np.abs((np.asarray(frame, float) - sheet).mean((0, 1))).max() < 1.5  # dithered: no shift of the colours


def test_an_animation_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="No space left"):
        shown(2).animation(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_animation_is_a_gif(tmp_path):
    with pytest.raises(OutputError, match=r"path='.*a\.png' is not the name of an animation; use \.gif"):
        shown(2).animation(tmp_path / "a.png")


def test_without_steps_there_is_nothing_to_show(tmp_path):
    for show in (Process().strip, lambda: Process().animation(tmp_path / "a.gif")):
        with pytest.raises(InputError, match="no steps; give it to"):
            show()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("samples", [None, 3])
def test_the_last_step_shows_the_first_result(samples, small):
    img, process = torch.rand(3, 5, 7), Process()
    options = {"weights": small(), "steps": 3, "device": "cpu", "dtype": "float32", "consistency": False}
    made = sr3(img, **options, samples=samples, callback=process, progress=False)
    assert [frame.step for frame in process.frames] == [1, 2, 3]
    assert np.array_equal(process.frames[-1].seen, opaque(made if samples is None else made[0]))
    assert process.frames[0].noise > 0.99
    assert np.asarray(process.frames[0].noisy).std() > 60  # noise alone, clipped
