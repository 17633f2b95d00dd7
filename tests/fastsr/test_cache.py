"""Where downloads are kept."""

from pathlib import Path

from fastsr.cache import cache_folder, file_name


def test_the_cache_is_in_the_home_folder_or_where_a_variable_says(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTSR_CACHE", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "fastsr"
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_names_of_files():
    assert file_name("https://a.org/b/c%20d.zip?e=f").endswith("-c_d.zip")
    assert file_name("https://a.org/b/c.zip") != file_name("https://a.org/d/c.zip")
