import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.plots import Point, Series, chart, interval_bar, number, ticks

FINITE = st.floats(-1e9, 1e9)


def circles(svg):
    return [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter("circle")]


def drawn(values, **options):
    series = [Series("rate", [Point(place, value) for place, value in enumerate(values)])]
    labels = [str(place + 1) for place in range(len(values))]
    return ElementTree.fromstring(chart("title", series, labels, **options))


@given(st.lists(FINITE, min_size=1, max_size=12))
def test_any_values_are_drawn_inside_the_frame_higher_values_higher(values):
    svg = drawn(values)
    places = circles(svg)
    assert len(places) == len(values)
    assert all(0 <= x <= 360 and 0 <= y <= 220 for x, y in places)
    heights = {value: y for value, (_, y) in zip(values, places, strict=True)}
    ordered = [heights[value] for value in sorted(heights)]
    assert ordered == sorted(ordered, reverse=True)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_cover_the_range(low, width):
    marks = ticks(low, low + width)
    step = marks[1] - marks[0]
    assert marks[0] <= low + 1e-6 * step and marks[-1] >= low + width - 1e-6 * step
    assert 2 <= len(marks) <= 8
    digits = float(f"{step:.3e}".partition("e")[0])
    assert digits in (1, 2, 2.5, 5)


def test_an_interval_is_drawn_and_told():
    series = [Series("win rate after round", [Point(0, 0.6, (0.55, 0.65), hollow=True)])]
    svg = ElementTree.fromstring(chart("wins", series, ["1"], line=0.5, percent=True))
    (mark,) = [g for g in svg.iter("g")]
    assert mark.get("class") == "first hollow"
    title = mark.find("title").text.replace("\u202f", " ")
    assert title == "win rate after round, 1: 60.0 % (95 % interval 55.0 % to 65.0 %)"
    assert svg.get("aria-label") == "wins" and svg.find("path[@class='even']") is not None


def test_a_percent_axis_ends_at_100():
    svg = drawn([0.97, 1.0], percent=True)
    labels = [t.text for t in svg.iter("text") if t.get("class") == "y"]
    assert labels[-1] == "100%" and all(float(label[:-1]) <= 100 for label in labels)


def test_nearly_equal_values_are_not_blown_up_to_a_trend():
    (_, first), (_, second) = circles(drawn([12.3, 12.3 + 1e-9]))
    assert first == second


def test_many_rounds_keep_their_labels_apart():
    labels = [t.text for t in drawn([0.5] * 40).iter("text") if t.get("class") == "tick"]
    assert labels == ["1", "6", "11", "16", "21", "26", "31", "36"]


def test_without_points_nothing_is_drawn():
    assert chart("title", [Series("a", [])], []) == ""


def test_labels_cannot_break_out():
    evil = '"><script>x</script>'
    svg = chart(evil, [Series(evil, [Point(0, 1.0)])], [evil], axis=evil)
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).get("aria-label") == evil


def test_a_bar_marks_half_and_spans_its_interval():
    svg = ElementTree.fromstring(interval_bar(0.75, (0.5, 1.0)))
    assert svg.find(".//path[@class='band']").get("d") == "M90.0 10H176.0"
    assert re.search("M90 1", svg.find("path[@class='even']").get("d"))
    assert circles(svg) == [(133.0, 10.0)]


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [
        (0.6149, True, "61.5\u202f%"),
        (1234.5, False, "1,234"),
        (12.34, False, "12.3"),
        (-1.5, False, "-1.50"),
        (0.1234, False, "0.123"),
        (0.0, False, "0"),
    ],
)
def test_numbers_are_as_long_as_they_need_to_be(value, percent, text):
    assert number(value, percent) == text


def test_both_axes_are_named():
    svg = drawn([1.0, 2.0], unit="tokens <each>", axis="round")
    texts = {t.get("class"): t.text for t in svg.iter("text")}
    assert texts["unit"] == "tokens <each>" and texts["axis"] == "round"
