import itertools
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.data import crops as module
from fastsr.data.crops import Crops, batches, make_lr
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError
from fastsr.imresize import imresize

FACTOR, CROP = 4, 16
IN_MEMORY, FROM_FILES = None, 0
# Python 3.12 and later warn of forks in programs with threads, which torch has.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\):DeprecationWarning")


def save(path, height, width, number=0):
    """A picture whose every pixel says where it is: its red is the row, its green the column, its blue the picture."""
    rows, columns = np.mgrid[:height, :width]
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.stack([rows, columns, np.full_like(rows, number)], 2).astype(np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        save(tmp_path / "data" / f"{number}.png", 20 + 7 * number, 50 - 5 * number, number)
    return tmp_path / "data"


@pytest.fixture
def pairs(tmp_path):
    for number in range(3):
        height, width = 24 + 4 * number, 32
        save(tmp_path / "DIV2K_train_HR" / f"000{number}.png", height + number, width, number)
        save(tmp_path / "DIV2K_train_LR_bicubic" / "X4" / f"000{number}x4.png", height // 4, width // 4, number)
    return tmp_path


def crops_of(folder, seed=0, memory=IN_MEMORY, crop=CROP):
    return Crops(find_training_pictures([folder], FACTOR), crop, FACTOR, seed, memory=memory)


def picture_of(crop):
    return int(crop["hr"][2, 0, 0])


def symmetry_of(crop):
    """Where the rows and where the columns of the picture increase: one of 8."""
    red, green = crop["hr"][:2].int()
    ahead = [int(channel[at] - channel[0, 0]) for channel in (red, green) for at in ((1, 0), (0, 1))]
    return tuple(ahead)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("memory", [IN_MEMORY, FROM_FILES])
def test_a_crop_is_a_piece_of_its_picture(memory, folder):
    crops = crops_of(folder, memory=memory)
    assert crops.held is (memory is IN_MEMORY)
    for number in range(20):
        hr = crops[number]["hr"]
        assert (hr.shape, hr.dtype) == ((3, CROP, CROP), torch.uint8)
        top, left = (int(hr[channel].min()) for channel in (0, 1))
        piece = torch.from_numpy(np.array(Image.open(folder / f"{picture_of(crops[number])}.png"))).permute(2, 0, 1)
        piece = piece[:, top : top + CROP, left : left + CROP]
        turned = [flipped.rot90(turns, (1, 2)) for flipped in (piece, piece.flip(2)) for turns in range(4)]
        assert sum(torch.equal(hr, one) for one in turned) == 1


def test_crops_depend_on_seed_and_number_alone(folder):
    crops, again, other = crops_of(folder), crops_of(folder, memory=FROM_FILES), crops_of(folder, seed=1)
    backwards = {number: again[number] for number in reversed(range(12))}
    assert all(same(crops[number], backwards[number]) for number in backwards)
    assert not all(same(crops[number], other[number]) for number in backwards)


def test_an_epoch_is_one_of_each_picture_in_an_order_of_its_own(folder):
    orders = [[picture_of(crops_of(folder)[5 * epoch + i]) for i in range(5)] for epoch in range(6)]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len(set(map(tuple, orders))) > 1


def test_all_places_and_symmetries_come(folder):
    crops = crops_of(folder)
    seen = [crops[number] for number in range(1500)]
    assert len({symmetry_of(crop) for crop in seen}) == 8
    first = [crop["hr"] for crop in seen if picture_of(crop) == 0]  # of 20x50
    assert {int(hr[0].min()) for hr in first} == set(range(20 - CROP + 1))
    assert {int(hr[1].min()) for hr in first} == set(range(50 - CROP + 1))


def test_upright_crops_are_only_mirrored(folder, pairs):
    crops = Crops(find_training_pictures([folder], FACTOR), CROP, FACTOR, 0, turned=False)
    seen = [symmetry_of(crops[number]) for number in range(100)]
    assert {(symmetry, seen.count(symmetry) > 30) for symmetry in seen} == {
        ((1, 0, 0, 1), True),
        ((1, 0, 0, -1), True),
    }
    paired = Crops(find_training_pictures([pairs], FACTOR), CROP, FACTOR, 0, turned=False)
    for crop in (paired[number] for number in range(20)):
        small = FACTOR * crop["lr"][1, 0].int()  # the columns that its pixels name
        large = crop["hr"][1, 0].int()
        assert torch.equal(small, large.view(-1, FACTOR).amin(1))


def test_a_seed_gives_the_crops_that_it_always_gave(folder):
    crops = [crops_of(folder)[number] for number in range(6)]
    assert [(picture_of(crop), *(int(crop["hr"][c].min()) for c in (0, 1)), symmetry_of(crop)) for crop in crops] == [
        (2, 9, 22, (0, 1, 1, 0)),
        (4, 22, 12, (-1, 0, 0, 1)),
        (3, 14, 17, (-1, 0, 0, -1)),
        (0, 0, 31, (-1, 0, 0, 1)),
        (1, 2, 6, (1, 0, 0, 1)),
        (1, 9, 11, (-1, 0, 0, -1)),
    ]


@pytest.mark.parametrize("memory", [IN_MEMORY, FROM_FILES])
def test_lr_files_are_cut_at_the_same_place(memory, pairs):
    crops = crops_of(pairs, memory=memory)
    assert crops.paired
    places = set()
    for number in range(60):
        hr, lr = (crops[number][key].int() for key in ("hr", "lr"))
        assert lr.shape == (3, CROP // FACTOR, CROP // FACTOR)
        for channel in (0, 1):  # the least of a square of HR pixels is that of its corner, which the LR pixel names
            corners = -torch.nn.functional.max_pool2d(-hr[channel][None].float(), FACTOR)[0]
            assert torch.equal(corners.int(), FACTOR * lr[channel])
        assert torch.equal(hr[2, ::FACTOR, ::FACTOR], lr[2])
        places.add((picture_of(crops[number]), int(lr[0].min())))
    assert places == {(number, top) for number in range(3) for top in range(3 + number)}


def test_without_lr_files_at_the_factor_there_are_none(pairs):
    pictures = find_training_pictures([pairs], 2)
    assert Crops(pictures, CROP, 2, 0)[0].keys() == {"hr"}


def test_grey_alpha_and_16_bits_become_rgb_of_8_bits(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([grey, grey, grey, 255 - grey])).save(tmp_path / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "c.png")
    crops = crops_of(tmp_path)
    for number in range(3):
        assert all(sorted(channel.flatten().tolist()) == list(range(256)) for channel in crops[number]["hr"])


def test_what_is_done_to_a_crop_is_not_done_to_its_picture(tmp_path):
    save(tmp_path / "a.png", CROP, CROP)
    crops = crops_of(tmp_path)
    before = [crops[number]["hr"].clone() for number in range(8)]
    for number in range(8):
        crops[number]["hr"].zero_()
    assert all(torch.equal(crops[number]["hr"], before[number]) for number in range(8))


def test_pictures_turned_by_exif_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "HR" / "a.png", 16, 40)
    save(tmp_path / "LR" / "a.png", 10, 4)
    with Image.open(tmp_path / "HR" / "a.png") as image:
        image.save(tmp_path / "HR" / "a.png", exif=exif)
    from_file, held = crops_of(tmp_path, memory=FROM_FILES), crops_of(tmp_path)
    assert all(same(from_file[number], held[number]) for number in range(8))


def test_memory_decides_what_is_held(folder, monkeypatch):
    needed = 3 * sum((20 + 7 * number) * (50 - 5 * number) for number in range(5))
    assert crops_of(folder, memory=needed).held
    assert not crops_of(folder, memory=needed - 1).held
    monkeypatch.setattr("fastsr.data.held.available_memory", lambda device: 4 * needed)
    assert crops_of(folder).held
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert not crops_of(folder).held


def take(count, *arguments, **options):
    """The first batches; what made them ends."""
    made = batches(*arguments, **options)
    taken = list(itertools.islice(made, count))
    made.close()
    return taken


@pytest.mark.parametrize("memory", [IN_MEMORY, FROM_FILES])
def test_batches_are_the_same_for_every_number_of_workers(memory, folder):
    crops = crops_of(folder, memory=memory)
    state = torch.get_rng_state()
    alone = take(5, crops, 3, first=0, workers=0)
    for k, batch in enumerate(alone):
        assert torch.equal(batch["hr"], torch.stack([crops[3 * k + i]["hr"] for i in range(3)]))
    helped = take(5, crops, 3, first=0, workers=2)
    assert all(map(same, alone, helped))
    assert torch.equal(torch.get_rng_state(), state)
    assert not multiprocessing.active_children()


def test_a_run_goes_on_where_it_was(folder):
    crops = crops_of(folder)
    whole = take(6, crops, 4, first=0, workers=0)
    assert all(map(same, whole[2:], take(4, crops_of(folder), 4, first=8, workers=0)))


def test_ranks_share_the_crops(folder):
    crops = crops_of(folder)
    whole = take(6, crops, 4, first=10, workers=0)
    parts = [take(2, crops, 4, first=10, rank=rank, ranks=3, workers=0) for rank in range(3)]
    assert all(map(same, whole, itertools.chain.from_iterable(zip(*parts, strict=True))))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_later_is_named(workers, folder):
    crops = crops_of(folder, memory=FROM_FILES)
    path = folder / "3.png"
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match=r"^picture='.*3\.png' cannot be decoded: .*broken$"):
        take(5, crops, 1, first=0, workers=workers)


def test_a_broken_picture_is_found_at_once_where_pictures_are_held(folder):
    path = folder / "3.png"
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match=r"3\.png' cannot be decoded"):
        crops_of(folder)


def test_a_file_that_is_no_picture_is_found_at_once(folder):
    (folder / "3.png").write_text("no picture")
    with pytest.raises(InputError, match=r"picture='.*3\.png' is not an image"):
        crops_of(folder, memory=FROM_FILES)


def test_a_picture_smaller_than_the_crop_is_found_at_once(folder):
    save(folder / "9.png", 15, 99)
    with pytest.raises(InputError, match=r"9\.png' is 99x15 pixels, smaller than the crop of 16x16; leave it out"):
        crops_of(folder, memory=FROM_FILES)


@pytest.mark.parametrize("memory", [IN_MEMORY, FROM_FILES])
def test_an_lr_file_of_another_size_is_found_at_once(memory, pairs):
    save(pairs / "DIV2K_train_LR_bicubic" / "X4" / "0001x4.png", 8, 8)
    with pytest.raises(InputError, match=r"0001x4\.png' is 8x8 pixels, and .*0001\.png' of 32x29 needs 8x7 at factor"):
        crops_of(pairs, memory=memory)


@pytest.mark.parametrize(
    ("crop", "factor", "message"),
    [(18, 4, "crop=18 cannot be used; give a positive multiple of factor=4"), (0, 4, "crop=0"), (16, 0, "factor=0")],
)
def test_crops_that_cannot_be_cut(crop, factor, message, folder):
    with pytest.raises(InputError, match=message):
        Crops(find_training_pictures([folder], 4), crop, factor, 0)


def test_pictures_are_needed_all_with_lr_or_all_without(folder, pairs):
    with pytest.raises(InputError, match="pictures is empty"):
        Crops([], CROP, FACTOR, 0)
    mixed = [*find_training_pictures([folder], FACTOR), *find_training_pictures([pairs], FACTOR)]
    with pytest.raises(InputError, match="some pictures have LR files and others have not"):
        Crops(mixed, CROP, FACTOR, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch=0 cannot be used; give at least 1"),
        ({"first": -1}, "first=-1"),
        ({"workers": -1}, "workers=-1"),
        ({"rank": 2, "ranks": 2}, "rank=2 is not one of ranks=2; give 0 to 1"),
    ],
)
def test_numbers_of_batches_that_cannot_be_used(options, message, folder):
    options = {"batch": 1, "first": 0, "workers": 0, **options}
    with pytest.raises(InputError, match=message):
        batches(crops_of(folder), options.pop("batch"), **options)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_lr_of_crops_is_that_of_pictures(factor):
    hr = torch.randint(256, (3, 3, 48, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(factor))
    lr = make_lr(hr, factor)
    assert (lr.shape, lr.dtype) == ((3, 3, 48 // factor, 24 // factor), torch.float32)
    files = torch.stack([fastsr.resize(picture, 1 / factor) for picture in hr])
    assert torch.equal(lr, files.float() / 255)
    assert not torch.equal(files.float() / 255, imresize(hr.float() / 255, 1 / factor))  # not rounded


def test_lr_of_crops_asks_for_no_free_memory(monkeypatch):
    def asked(*arguments):
        raise AssertionError("asked for free memory")

    monkeypatch.setattr("fastsr.device.available_memory", asked)
    assert make_lr(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), 4).shape == (1, 3, 4, 4)


def test_the_order_of_an_epoch_is_made_once(folder, monkeypatch):
    crops, made = crops_of(folder, seed=77), []
    real = np.random.default_rng
    monkeypatch.setattr(module.np.random, "default_rng", lambda key: made.append(key) or real(key))
    for number in range(10):
        crops[number]
    assert [key for key in made if key[1] == module.ORDER] == [(77, module.ORDER, 0), (77, module.ORDER, 1)]
