"""Corpora as people keep them are read like the official layout."""

from pathlib import Path

import pytest
from miniature import wild
from miniature.preparing import prepare


@pytest.mark.parametrize(
    ("corpus", "layout", "given", "changes"), wild.cases(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_layout_is_read_like_the_official_one(lay_out, tmp_path, capsys, corpus, layout, given, changes):
    root = tmp_path / "kept by a user"
    official_root, official = lay_out(corpus, root)
    for change in changes:
        change(root)
    capsys.readouterr()
    sets = prepare(corpus, root / given, tmp_path / "data", "--allow-partial")
    assert f"taken from {root}" in capsys.readouterr().out
    assert sorted(sets) == sorted(official)
    for name, data in sets.items():
        expected = official[name].tables
        assert {table: values for table, values in data.tables.items() if table != "wav.scp"} == {
            table: values for table, values in expected.items() if table != "wav.scp"
        }
        for utt, path in data.table("wav.scp").items():
            assert Path(path).is_file()
            assert Path(path).stem.rpartition("+")[2] == Path(expected["wav.scp"][utt]).stem.rpartition("+")[2]
        missing = [folder / name / "missing.txt" for folder in (tmp_path / "data", official_root.parent / "data")]
        assert missing[0].exists() == missing[1].exists(), "CtrSVDD lacks what is not in the release"
