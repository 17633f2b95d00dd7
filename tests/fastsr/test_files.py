import os
import stat

import pytest

from fastsr import files
from fastsr.errors import InputError, MissingFileError, OutputError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The names that the tests use, in a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("one/b.png", "one/a.JPG", "one/note.txt", "one/deep/c.png", "two/b.png", "x[1].png", "raw.nef"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(*inputs):
    return [path.as_posix() for path in files.find_images(inputs)]


def planned(inputs, output=None, **options):
    return [target.as_posix() for _, target in files.plan_outputs(inputs, output, suffix="_dip_x4", **options)]


def worked_on(inputs, output=None, **options):
    return [source.as_posix() for source, _ in files.plan_outputs(inputs, output, suffix="_dip_x4", **options)]


def test_a_folder_gives_its_images_sorted(photos):
    assert found("one") == ["one/a.JPG", "one/b.png"]


def test_a_glob_gives_the_images_it_matches_sorted(photos):
    assert found("*/b.*", "one/*") == ["one/b.png", "two/b.png", "one/a.JPG"]
    assert found("**/*.png") == ["one/b.png", "one/deep/c.png", "two/b.png", "x[1].png"]


def test_a_file_is_taken_as_named(photos):
    assert found("x[1].png", "raw.nef", photos / "two" / "b.png") == ["x[1].png", "raw.nef", f"{photos}/two/b.png"]


def test_a_file_comes_once(photos):
    (photos / "link.png").symlink_to(photos / "one" / "b.png")
    assert found("one/b.png", "one", "link.png", photos / "one") == ["one/b.png", "one/a.JPG"]


def test_nothing_found_is_an_error(photos):
    (photos / "bare").mkdir()
    with pytest.raises(InputError, match="no input"):
        found()
    with pytest.raises(MissingFileError, match=r"'one/c.png' does not exist"):
        found("one/b.png", "one/c.png")
    for nothing in ("bare", "two/*.jpg", "one/*.txt"):
        with pytest.raises(InputError, match=r"holds no image; images end in \.png"):
            found("one", nothing)


def test_results_go_beside_their_inputs(photos):
    assert files.plan_outputs(["one"], None, suffix="_dip_x4")[0][0].as_posix() == "one/a.JPG"
    assert planned(["one", "x[1].png"]) == ["one/a_dip_x4.JPG", "one/b_dip_x4.png", "x[1]_dip_x4.png"]


def test_formats_that_cannot_be_written_become_png(photos):
    assert planned(["raw.nef"]) == ["raw_dip_x4.png"]


@pytest.mark.parametrize("output", ["out", "out/", "new/out.d/", "two"])
def test_results_go_into_a_folder(photos, output):
    assert planned(["one"], output) == [f"{output.rstrip('/')}/{name}" for name in ("a_dip_x4.JPG", "b_dip_x4.png")]
    assert (photos / output).is_dir()


def test_a_single_result_goes_where_it_is_told(photos):
    assert planned(["one/b.png"], "new/c.webp") == ["new/c.webp"]
    (photos / "dotted.d").mkdir()
    assert planned(["one/b.png"], "dotted.d") == ["dotted.d/b_dip_x4.png"]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["one"], "c.png", "'c.png' is one file for 2 inputs"),
        (["one/b.png"], "c.xyz", "'c.xyz' has no suffix that can be written: .png"),
        (["one/b.png"], "one/b.png", "result of 'one/b.png' would overwrite the input 'one/b.png'"),
        (["one/b.png"], "two/../one/b.png", "would overwrite the input"),
        (["one/b.png", "two/b.png"], "out", "'one/b.png' and 'two/b.png' would both be 'out/b_dip_x4.png'"),
        (["one/b.png"], "one/b.png/c/", r"'one/b.png/c' is not writable: (Not a directory|File exists)"),
    ],
)
def test_clashes_are_refused(photos, inputs, output, message):
    with pytest.raises(OutputError, match=message):
        planned(inputs, output)


def test_the_result_of_one_input_never_replaces_another(photos):
    (photos / "one" / "b_dip_x4.png").touch()
    with pytest.raises(OutputError, match=r"result of 'one/b.png' would overwrite the input 'one/b_dip_x4.png'"):
        planned(["one", "one/b_dip_x4.png"])
    (photos / "two" / "b_dip_x4.png").symlink_to(photos / "one" / "b.png")
    with pytest.raises(OutputError, match="would overwrite the input"):
        planned(["one/b.png"], "two")


def test_a_comparison_never_replaces_an_input(photos):
    (photos / "x_compare.png").touch()
    assert planned(["x_compare.png"], "x.png") == ["x.png"]
    with pytest.raises(OutputError, match=r"result of 'x_compare.png' would overwrite the input 'x_compare.png'"):
        planned(["x_compare.png"], "x.png", compare=True)
    (photos / "one" / "b_dip_x4_compare.png").touch()
    with pytest.raises(OutputError, match=r"overwrite the input 'one/b_dip_x4_compare.png'"):
        planned(["one/b.png", "one/b_dip_x4_compare.png"], compare=True)


def test_a_folder_in_the_way_of_a_comparison_is_refused(photos):
    (photos / "one" / "b_dip_x4_compare.png").mkdir()
    with pytest.raises(OutputError, match=r"'one/b_dip_x4_compare.png' is a folder"):
        planned(["one/b.png"], compare=True)


@pytest.mark.parametrize("inputs", [["one"], ["one/*"], ["one/b.png", "one"]])
@pytest.mark.parametrize("compare", [True, False])
def test_a_second_run_writes_the_same_files_anew(photos, inputs, compare):
    first = files.plan_outputs(inputs, None, suffix="_dip_x4", compare=compare)
    for _, target in first:
        target.touch()
        files.comparison_of(target).touch()
    assert files.plan_outputs(inputs, None, suffix="_dip_x4", compare=compare) == first


def test_results_of_other_commands_are_no_inputs_beside_what_they_were_made_of(photos):
    for name in ("b_sr3_x8_1.png", "b_sr3_x8_mean.png", "b_sr3_x8_process.gif"):
        (photos / "one" / name).touch()
    for name in ("b_dip_x8.png", "b_dip_x1.5_compare.png", "b_bicubic_7x9.png", "b_dip_x8_dip_x4.png"):
        (photos / "one" / name).touch()
    for output in (None, "out"):
        assert worked_on(["one"], output) == ["one/a.JPG", "one/b.png"]
        assert worked_on(["one/*dip_x8*"], output) == ["one/b_dip_x8.png"]  # what it was made of is not there


def test_what_only_looks_like_a_result_is_an_input(photos):
    names = ("b_x4.png", "c_dip_x4.png", "b_dip_.png", "b_compare.png")
    for name in names:
        (photos / "one" / name).touch()
    assert set(worked_on(["one"])) == {"one/a.JPG", "one/b.png", *(f"one/{name}" for name in names)}


def test_a_link_in_the_place_of_a_result_does_not_hide_an_input(photos):
    (photos / "two" / "a.png").touch()
    (photos / "two" / "a_dip_x4.png").symlink_to("b.png")
    (photos / "two" / "b_dip_x4.png").symlink_to("a.png")
    for inputs in (["two"], ["two/b.png", "two"]):
        with pytest.raises(OutputError, match=r"would overwrite the input 'two/(a|b)_dip_x4.png'"):
            planned(inputs)


def test_inputs_with_names_that_are_too_long_are_refused(photos):
    with pytest.raises(InputError, match=r"'a{300}' cannot be read: File name too long"):
        found("a" * 300)
    assert found(f"one/[{'b' * 300}].png") == ["one/b.png"]


def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("method", ["stat", "iterdir", "is_file"])
def test_what_may_not_be_looked_at_is_named(photos, monkeypatch, method):
    monkeypatch.setattr(f"pathlib.Path.{method}", refuse)
    with pytest.raises(InputError, match=r"input 'one' cannot be read: Permission denied"):
        found("one")


def test_an_output_that_may_not_be_looked_at_is_named(photos, monkeypatch):
    monkeypatch.setattr("pathlib.Path.is_dir", refuse)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(OutputError, match=r"'locked' is not writable: Permission denied"):
        planned(["one/b.png"], "locked/c.png")


@pytest.mark.parametrize(
    ("name", "output", "compare"),
    [
        ("b.png", f"out/{'c' * 252}.png", False),
        ("b.png", f"out/{'c' * 250}.png", True),
        (f"{'b' * 251}.png", "out", False),
        (f"{'b' * 251}.png", None, False),
    ],
)
def test_a_name_that_is_too_long_is_found_before_the_work(photos, name, output, compare):
    (photos / name).touch()
    with pytest.raises(OutputError, match=r"output '.*\.png' cannot be written: File name too long"):
        planned([name], output, compare=compare)


def test_a_name_may_be_as_long_as_the_file_system_allows(photos):
    target = f"out/{'c' * 251}.png"
    assert planned(["one/b.png"], target) == [target]
    with files.atomic_write(target) as file:
        file.write(b"new")
    assert os.listdir("out") == [f"{'c' * 251}.png"]


def test_a_folder_in_the_way_is_refused(photos):
    (photos / "one" / "b_dip_x4.png").mkdir()
    with pytest.raises(OutputError, match=r"'one/b_dip_x4.png' is a folder"):
        planned(["one/b.png"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_found_before_the_work(photos):
    (photos / "two").chmod(0o555)
    with pytest.raises(OutputError, match="'two' is not writable: Permission denied"):
        planned(["one"], "two")


def test_a_folder_that_refuses_files_is_found_before_the_work(photos, monkeypatch):
    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(OutputError, match="'two' is not writable: Permission denied"):
        planned(["one"], "two")


def test_the_check_leaves_nothing_behind(photos):
    planned(["one"], "out", compare=True)
    assert list((photos / "out").iterdir()) == []


def test_the_check_makes_no_file_where_another_process_may_put_its_result(photos, monkeypatch):
    made = []
    monkeypatch.setattr("pathlib.Path.touch", lambda path, **options: made.append(path))
    planned(["one/b.png"], compare=True)
    assert made
    assert [path for path in made if not path.match(files.TEMPORARY)] == []


def test_the_check_does_not_touch_an_earlier_result(photos):
    (photos / "one" / "b_dip_x4.png").write_bytes(b"old")
    before = (photos / "one" / "b_dip_x4.png").stat()
    planned(["one/b.png"])
    after = (photos / "one" / "b_dip_x4.png").stat()
    assert (photos / "one" / "b_dip_x4.png").read_bytes() == b"old"
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with files.atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_or_not_at_all(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half():
        with files.atomic_write(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    with files.atomic_write(tmp_path / "a.bin"):
        pass
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_write_that_fails_names_the_file(tmp_path):
    with (
        pytest.raises(OutputError, match=r"no/a.bin' cannot be written: No such file"),
        files.atomic_write(tmp_path / "no" / "a.bin"),
    ):
        pass
    for long in ("a" * 300, f"{'a' * 300}/b"):
        with (
            pytest.raises(OutputError, match="cannot be written: File name too long"),
            files.atomic_write(tmp_path / long),
        ):
            pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder' cannot be written"), files.atomic_write(tmp_path / "folder"):
        pass
    assert os.listdir(tmp_path) == ["folder"]
