"""The partial order of the model matrix, and which pairs of cells it gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.matrix import AXES, axis, beats, best_placed_first, by_axis, cell_pairs, maximal
from data.recipes.methods import CellConfig, MatrixConfig, Place

PLACES = st.builds(
    Place,
    name=st.just("m"),
    family=st.sampled_from(["a", "b"]),
    version=st.sampled_from([-1, 0, 1]),
    scale=st.sampled_from([1, 7, 70]),
    human=st.sampled_from([False, False, False, True]),
)
MATRICES = st.lists(PLACES, max_size=8).map(
    lambda places: [p.model_copy(update={"name": f"m{i}"}) for i, p in enumerate(places)]
)


def config(**values):
    cells = [{"name": name, "path": "answers.json"} for name in ("x", "y")]
    return MatrixConfig(cells=cells, **values)


def place(name, version=0, scale=1, family="a", human=False):
    return Place(name=name, version=version, scale=scale, family=family, human=human)


OLD_SMALL, OLD_BIG = place("old-small", 0, 1), place("old-big", 0, 7)
NEW_SMALL, NEW_BIG = place("new-small", 1, 1), place("new-big", 1, 7)
PEOPLE = place("people", family="elsewhere", human=True)
SQUARE = [OLD_SMALL, OLD_BIG, NEW_SMALL, NEW_BIG]


@given(PLACES, PLACES, PLACES)
def test_beating_is_a_strict_partial_order(a, b, c):
    assert not beats(a, a)
    assert not (beats(a, b) and beats(b, a))
    assert beats(a, c) or not (beats(a, b) and beats(b, c))


@given(PLACES, PLACES)
def test_a_pair_has_one_axis_exactly_if_one_beats_the_other(a, b):
    assert (axis(a, b) in AXES) == beats(a, b)
    if beats(a, b) and not a.human:
        assert a.family == b.family
        differs = {"version": a.version != b.version, "scale": a.scale != b.scale}
        assert axis(a, b) == ("both" if all(differs.values()) else max(differs, key=differs.get))


@given(MATRICES)
def test_no_model_beats_a_maximal_cell_and_some_maximal_cell_beats_every_other(cells):
    top = maximal(cells)
    assert not any(beats(a, b) for a in cells for b in top if not a.human)
    for cell in cells:
        assert cell in top or any(beats(a, cell) for a in top)


@given(MATRICES, st.sampled_from(["maximal", "any", "human"]), st.sets(st.sampled_from(AXES)))
def test_every_pair_is_in_order_on_a_wanted_axis_and_there_once(cells, positives, axes):
    pairs = cell_pairs(cells, config(positives=positives, axes=tuple(axes)))
    for better, worse, way in pairs:
        assert beats(better, worse) and way == axis(better, worse) and way in axes
    assert len({(p.better.name, p.worse.name) for p in pairs}) == len(pairs)


@given(MATRICES)
def test_best_placed_first_puts_whoever_beats_another_before_it(cells):
    order = best_placed_first(cells)
    assert sorted(order) == list(range(len(cells)))
    for earlier, i in enumerate(order):
        assert not any(beats(cells[j], cells[i]) for j in order[earlier:])


def names(pairs):
    return {(p.better.name, p.worse.name): p.axis for p in pairs}


def test_the_newest_and_largest_is_chosen_over_all_others_of_its_family():
    assert names(cell_pairs([*SQUARE, place("other", family="b")], config())) == {
        ("new-big", "old-small"): "both",
        ("new-big", "old-big"): "version",
        ("new-big", "new-small"): "scale",
    }


def test_any_cell_may_be_chosen_over_those_it_beats():
    pairs = names(cell_pairs(SQUARE, config(positives="any")))
    assert pairs[("old-big", "old-small")] == "scale"
    assert pairs[("new-small", "old-small")] == "version"
    assert len(pairs) == 5  # old-big and new-small are not comparable


def test_people_beat_models_of_every_family_and_take_no_model_its_place():
    pairs = names(cell_pairs([*SQUARE, PEOPLE], config()))
    assert {worse for better, worse in pairs if better == "people"} == {c.name for c in SQUARE}
    assert ("new-big", "old-big") in pairs
    people = names(cell_pairs([*SQUARE, PEOPLE], config(positives="human")))
    assert set(people.values()) == {"human"} and len(people) == 4


def test_axes_can_be_left_out():
    pairs = names(cell_pairs(SQUARE, config(axes=("version",))))
    assert pairs == {("new-big", "old-big"): "version"}


def test_a_cells_place_alone_is_in_a_key():
    cell = CellConfig(name="x", path="answers.json", version=1.5)
    kept = cell.model_dump(exclude=set(cell.not_in_key))
    assert Place(**kept) == place("x", 1.5, family="policy")


def test_flat_counts_are_nested_by_axis():
    assert by_axis({"scale_pairs": 3, "scale_swapped": 1, "version_pairs": 0, "other": 9}) == {
        "scale": {
            **dict.fromkeys(("agreed", "tied", "inconsistent", "unjudged", "dropped"), 0),
            "pairs": 3,
            "swapped": 1,
            "labelled": 0,
        }
    }


@pytest.mark.parametrize("twice", [NEW_BIG, NEW_BIG.model_copy(update={"name": "again"})])
def test_two_cells_in_one_place_are_not_compared(twice):
    assert cell_pairs([NEW_BIG, twice], config(positives="any")) == []
