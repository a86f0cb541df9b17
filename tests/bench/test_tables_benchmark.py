"""`python -m benchmarks.tables` still knows the stages that it times."""

from benchmarks import tables


def test_every_stage_is_timed_and_gives_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "in_child", tables.measure)
    found = tables.measured(tmp_path, tables.Size(60, 4, 0, 2), list(tables.STAGES))
    assert found.keys() == tables.STAGES.keys()
    assert all(one["digest"] for one in found.values())


def test_equal_seeds_give_equal_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "in_child", tables.measure)
    digests = [
        tables.measured(tmp_path / name, tables.Size(60, 4, seed, 2), ["mine"])["mine"]["digest"]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert digests[0] == digests[1] != digests[2]
