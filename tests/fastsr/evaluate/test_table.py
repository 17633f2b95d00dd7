import csv
import math
from dataclasses import replace

import pytest

from fastsr.evaluate import Evaluation
from fastsr.evaluate.table import HEADER, Row, cells, line, mean_cells, mean_of, write_csv

ROWS = [
    Row("a, b", 24, 16, 30.123456789012344, 28.5, 0.9, math.inf, 1.5),
    Row("long_name_of_a_picture", 8000, 16, 20.0, 18.5, 0.7, 50.0, 100.25),
]


def test_mean():
    mean = mean_of(ROWS)
    assert mean.psnr_y == pytest.approx(25.061728394506172)
    assert (mean.psnr_rgb, mean.ssim, mean.lr_psnr, mean.seconds) == (23.5, pytest.approx(0.8), math.inf, 50.875)


def test_cells():
    assert cells(ROWS[0]) == ["a, b", "24x16", "30.123", "28.500", "0.9000", "inf", "1.50"]
    assert mean_cells(mean_of(ROWS[1:])) == ["mean", "", "20.000", "18.500", "0.7000", "50.00", "100.25"]
    assert len(cells(ROWS[0])) == len(HEADER)


def test_lines_are_aligned():
    names = [row.image for row in ROWS]
    lines = [line(values, names) for values in (HEADER, *map(cells, ROWS), mean_cells(mean_of(ROWS)))]
    assert len({len(text) for text in lines}) == 1
    ends = [
        text.index(value) + len(value) for text, value in zip(lines[1:], ("30.123", "20.000", "25.062"), strict=True)
    ]
    assert ends == [lines[0].index("PSNR Y") + len("PSNR Y")] * 3


def test_a_notebook_shows_the_table(tmp_path):
    shown = Evaluation([replace(ROWS[0], image="<a>"), ROWS[1]], mean_of(ROWS), {}, tmp_path)._repr_html_()
    rows = [line.split("<td>")[1:] for line in shown.split("<tr>")[1:]]
    assert [row[0].removesuffix("</td>") for row in rows] == ["image", "&lt;a&gt;", ROWS[1].image, "mean"]
    assert {len(row) for row in rows} == {len(HEADER)}
    assert Evaluation([], None, {}, tmp_path)._repr_html_().count("<tr>") == 1


def test_csv_has_every_digit_and_the_mean_last(tmp_path):
    path = tmp_path / "results.csv"
    write_csv(ROWS, path)
    header, first, second, last = csv.reader(path.read_text().splitlines())
    assert header == ["image", "width", "height", "psnr_y", "psnr_rgb", "ssim", "lr_psnr", "seconds"]
    assert first == ["a, b", "24", "16", "30.123456789012344", "28.5", "0.9", "inf", "1.5"]
    assert second[0] == "long_name_of_a_picture"
    assert last[:3] == ["mean", "", ""]
    assert float(last[3]) == mean_of(ROWS).psnr_y


def test_any_name_of_a_file_can_be_written(tmp_path):
    write_csv([replace(ROWS[0], image="caf\udce9")], tmp_path / "results.csv", "mean of 1 of 2")
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[1].startswith("caf\\udce9,")
    assert lines[2].startswith("mean of 1 of 2,")
