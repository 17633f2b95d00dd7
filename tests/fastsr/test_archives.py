import io
import tarfile
import zipfile

import pytest

from fastsr.archives import Pick, unpack
from fastsr.errors import InputError

PICKS = (Pick("data/images/val", "", 2), Pick("data/images/test", "test", 1))
FILES = {
    "BSR/data/images/val/1.jpg": b"one",
    "BSR/data/images/val/2.JPG": b"two",
    "BSR/data/images/val/._2.jpg": b"of a Mac",
    "BSR/data/images/val/Thumbs.db": b"of Windows",
    "BSR/data/images/test/1.jpg": b"three",
    "BSR/data/images/train/4.jpg": b"not asked for",
    "BSR/otherdata/images/val/5.jpg": b"not asked for",
}


def pack(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, body in files.items():
                archive.writestr(name, body)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, body in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))
    return path


@pytest.fixture(params=["a.zip", "a.tgz"])
def archive(request, tmp_path):
    """The path of an archive that a test packs, of either kind."""
    return tmp_path / request.param


def taken(archive, picks=PICKS):
    folder = archive.parent / "out" / "deep"
    unpack(archive, folder, picks, what="'a'", progress=False)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_pictures_are_taken_and_nothing_else(archive):
    pack(archive, FILES)
    assert taken(archive) == {"1.jpg": b"one", "2.JPG": b"two", "test/1.jpg": b"three"}


@pytest.mark.parametrize(
    "name", ["../data/images/val/3.jpg", "/data/images/val/3.jpg", "data/images/val/..\\..\\3.jpg"]
)
def test_paths_that_lead_out_are_refused(archive, name):
    pack(archive, {name: b"bad", **FILES})
    with pytest.raises(InputError, match=r"'a' holds '.*', which leads out of its folder"):
        taken(archive)
    assert [path for path in archive.parent.rglob("*.*") if path != archive] == []


def test_links_are_not_followed(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE)):
            member = tarfile.TarInfo(f"data/images/val/{number}.jpg")
            member.type, member.linkname = kind, str(tmp_path / "secret.jpg")
            archive.addfile(member)
    with pytest.raises(InputError, match="holds 0 pictures in 'data/images/val' instead of 2"):
        taken(tmp_path / "a.tar")


def test_pictures_that_are_missing_are_told(archive):
    pack(archive, {name: body for name, body in FILES.items() if "val/1" not in name})
    with pytest.raises(InputError, match="'a' holds 1 pictures in 'data/images/val' instead of 2"):
        taken(archive)


def test_a_broken_archive_is_told(archive):
    pack(archive, FILES)
    body = archive.read_bytes()
    for broken in (b"", b"<html>", body[: len(body) // 2]):
        archive.write_bytes(broken)
        with pytest.raises(InputError, match="'a' is no archive that can be read"):
            taken(archive)
