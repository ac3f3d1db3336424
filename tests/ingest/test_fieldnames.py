from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wootz.errors import WootzError
from wootz.fieldnames import compile_pattern, match_pattern
from wootz.fieldtables import join_splits, join_table, read_table


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{specimen}_{condition}_{n}", "spot1_180d_5", {"specimen": "spot1", "condition": "180d", "n": "5"}),
        ("{specimen}_{n}", "111418#4_1426_100Cyc0032", {"specimen": "111418#4", "n": "1426_100Cyc0032"}),
        ("{specimen}-({n:d})", "A.1+2-(07)", {"specimen": "A.1+2", "n": "07"}),
        ("{}_800C-{condition}-Q-{n:d}_{}", "train_800C-24H-Q-2_size", {"condition": "24H", "n": "2"}),
        ("{letters:w}{n:d}", "field12", {"letters": "field", "n": "12"}),
        ("{{{n}}}", "{5}", {"n": "5"}),
    ],
)
def test_pattern_reads_columns(pattern, name, expected):
    assert compile_pattern(pattern).fullmatch(name).groupdict() == expected


@given(
    st.lists(st.text(st.characters(exclude_characters="_/"), min_size=1), min_size=3, max_size=3),
)
def test_pattern_inverts_formatting(parts):
    columns = dict(zip(("specimen", "condition", "n"), parts, strict=True))
    name = "{specimen}_{condition}_{n}".format(**columns)
    assert compile_pattern("{specimen}_{condition}_{n}").fullmatch(name).groupdict() == columns


def test_pattern_reaches_into_folders():
    join = match_pattern([Path("/d/annealed/s1_2.tif"), Path("/d/raw/odd.tif")], "{condition}/{specimen}_{n}")
    assert join.values == {
        Path("/d/annealed/s1_2.tif"): {"condition": "annealed", "specimen": "s1", "n": "2"}
    }
    assert join.unmatched_files == (Path("/d/raw/odd.tif"),)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{specimen", "expected '}'"),
        ("{specimen}_{specimen}", "stands twice"),
        ("plain", "holds no column"),
        ("{image_id}_{n}", "cannot be a column"),
        ("{a b}", "cannot be a column"),
        ("{n:x}", "only ':d'"),
    ],
)
def test_bad_patterns_are_explained(pattern, message):
    with pytest.raises(WootzError, match=message):
        compile_pattern(pattern)


def test_pattern_that_fits_nothing_shows_names():
    with pytest.raises(WootzError, match=r"fits none of the 2 file names, such as 'a1', 'a2'"):
        match_pattern([Path("a1.tif"), Path("a2.tif")], "{specimen}_{n}")


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_table_keeps_text_and_numbers(tmp_path, delimiter):
    text = "file,specimen,step,pixel_size_nm,strain\na.tif,007,1,2.5,0.1\nb,008,,,0.2\n"
    table = read_table(write(tmp_path / "t.csv", text.replace(",", delimiter)))
    assert table["specimen"].tolist() == ["007", "008"]
    assert table["step"].tolist() == ["1", ""]
    join = join_table([Path("/x/a.tif"), Path("/x/b.png"), Path("/x/c.png")], table, name="t")
    assert join.values[Path("/x/a.tif")] == {
        "specimen": "007",
        "step": "1",
        "pixel_size_nm": 2.5,
        "strain": 0.1,
    }
    assert join.values[Path("/x/b.png")] == {"specimen": "008", "strain": 0.2}
    assert join.unmatched_files == (Path("/x/c.png"),)


def test_table_from_a_windows_spreadsheet(tmp_path):
    table = read_table(
        write(tmp_path / "t.csv", "Name;specimen\r\na;Stück\r\n".replace("Name", "name"), "cp1252")
    )
    assert table["specimen"].tolist() == ["Stück"]


def test_parquet_table(tmp_path):
    pd.DataFrame({"file": ["a"], "specimen": ["x"]}).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["specimen"].tolist() == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,specimen\na,b\n", "name it 'file'"),
        ("file,split\na,holdout\n", "choose train, val or test"),
        ("file,pixel_size_nm\na,-2\n", "positive number in nm"),
        ("file,pixel_size_nm\na,'2,5'\n", "positive number in nm|cannot be read"),
        ("file,specimen\na,b\na,c\n", "two rows for 'a'"),
        ("file,height_px\na,3\n", "fills in height_px itself"),
        ("", "cannot be read"),
    ],
)
def test_bad_tables_are_explained(tmp_path, text, message):
    with pytest.raises(WootzError, match=message):
        read_table(write(tmp_path / "t.csv", text))


def test_ambiguous_and_strange_rows():
    files = [Path("/x/one/a.tif"), Path("/x/two/a.tif")]
    table = pd.DataFrame({"file": ["a.tif"], "specimen": ["s"]})
    with pytest.raises(WootzError, match=r"write the folder too, e\.g\. one/a\.tif"):
        join_table(files, table, name="t")
    by_folder = pd.DataFrame({"file": ["one/a.tif", "two/a"], "specimen": ["s", "t"]})
    join = join_table(files, by_folder, name="t")
    assert [join.values[f]["specimen"] for f in files] == ["s", "t"]
    with pytest.raises(WootzError, match="none of its 1 rows fits"):
        join_table(files, pd.DataFrame({"file": ["zzz"], "specimen": ["s"]}), name="t")


def test_dots_in_names_are_no_suffix():
    files = [Path("/x/img.01.tif"), Path("/x/img.tif")]
    table = pd.DataFrame({"file": ["img.01", "img"], "specimen": ["one", "none"]})
    join = join_table(files, table, name="t")
    assert join.values[files[0]]["specimen"] == "one"
    assert join.values[files[1]]["specimen"] == "none"


def test_splits_by_set_or_flat():
    files = [Path("a.png"), Path("b.png"), Path("c.png")]
    lists = {"train": ["a"], "val": ["b"], "test": ["zz"]}
    for splits in (lists, {"mine": {**lists, "unit": "image"}, "other": {}}):
        join = join_splits({"mine": files}, splits, name="s")
        assert {f.stem: v["split"] for f, v in join.values.items()} == {"a": "train", "b": "val"}
        assert join.unmatched_rows == ("zz",)
        assert join.unmatched_files == (files[2],)
    with pytest.raises(WootzError, match="no entry for set 'theirs'; it has mine"):
        join_splits({"theirs": files}, {"mine": lists}, name="s")
    with pytest.raises(WootzError, match="stands in train and in test"):
        join_splits({"mine": files}, {"train": ["a"], "test": ["a"]}, name="s")
