"""The pages as readers meet them: on a screen, a phone and paper, by keyboard, in the dark."""

import json

import pytest

from tests.browser.conftest import SERIOUS

PAGES = {
    "index": "/",
    "report": "/plain/report.html",
    "logged": "/logged/report.html",
    "unfinished": "/unfinished/report.html",
    "comparison": "/compare?run=plain&run=careful",
}


def problems(page):
    """What axe finds serious, each with the place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        (one["id"], node["html"][:200])
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_axe_finds_nothing_serious(visit, address, path, dark):
    page = visit(address + path, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert problems(page) == []


def test_axe_would_find_something(visit, address):
    page = visit(address)
    page.evaluate("document.body.innerHTML = '<input><button></button>'")
    found = {name for name, _ in problems(page)}
    assert {"label", "button-name"} <= found


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_phone_shows_it_without_scrolling_sideways(visit, address, path):
    page = visit(address + path, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    # Nor does a table that is open from the start scroll within itself.
    wide = page.evaluate(
        "[...document.querySelectorAll('.wide')]"
        ".filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)"
    )
    assert wide == []
    assert problems(page) == []


def test_the_dark_page_is_dark(visit, address):
    light, dark = (visit(address + PAGES["report"], dark=dark) for dark in (False, True))
    colours = [
        sum(json.loads(page.evaluate(
            "JSON.stringify(getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
            ".slice(0, 3).map(Number))"
        )))
        for page in (light, dark)
    ]  # fmt: skip
    assert colours[0] > 600 and colours[1] < 150


def test_the_first_screen_answers_what_a_reader_asks(visit, address):
    page = visit(address + PAGES["report"])
    page.set_viewport_size({"width": 1280, "height": 1000})
    for text in ("Better than the base policy", "71.2\u202f%", "The only judge is the teacher",
                 "Teacher calls", "Answer tokens", "Time", "What should worry me?"):  # fmt: skip
        box = page.get_by_text(text, exact=True).first.bounding_box()
        assert box and box["y"] + box["height"] < 1000, text


def shown(page):
    return page.locator(".sample:visible").count()


def test_answers_are_searched_and_filtered(visit, address):
    page = visit(address + PAGES["report"])
    assert page.locator("output").inner_text() == "35 of 35 shown"
    page.get_by_label("Data set", exact=True).select_option("listing")
    assert shown(page) == 5 and page.locator("details.group:visible").count() == 1
    page.get_by_label("Outcome").select_option("loss")
    assert shown(page) == 1 and page.locator("output").inner_text() == "1 of 35 shown"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('output').textContent.startsWith('35')")
    page.get_by_label("Search").fill("OLD LAMP")
    assert shown(page) == 7
    page.get_by_label("Search").fill("no answer says this")
    assert shown(page) == 0
    page.get_by_label("Search").fill("")
    assert shown(page) == 5  # of the data set that is open, as before


def test_differences_are_marked(visit, address):
    page = visit(address + PAGES["report"])
    sample = page.locator(".sample", has_text="17 + 5").first
    assert sample.locator("mark").all_inner_texts() == ["21.", "22."]


def test_without_its_script_a_report_is_whole(visit, address):
    page = visit(address + PAGES["report"], script=False)
    assert page.locator(".sample").count() == 35 and not page.locator(".filters").is_visible()


def test_a_report_is_a_file_that_needs_no_server(visit, runs):
    page = visit((runs[0] / "plain" / "report.html").as_uri())
    assert page.locator("output").inner_text() == "35 of 35 shown"
    assert page.locator(".back").count() == 0


def test_paper_shows_no_controls_and_dark_ink(visit, address):
    page = visit(address + PAGES["report"], dark=True)
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".filters").is_visible() and not page.locator("nav").is_visible()
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(0, 0, 0)"


def run_names(page):
    return page.locator("table.runs tbody tr:visible th a").all_inner_texts()


def test_the_index_is_sorted_and_searched(visit, address):
    page = visit(address)
    assert run_names(page) == ["unfinished", "careful", "logged", "plain"]
    assert "damaged" in page.locator(".warning").inner_text()
    result = page.get_by_role("button", name="result")
    result.click()
    assert run_names(page) == ["plain", "careful", "logged", "unfinished"]
    result.press("Enter")
    assert run_names(page) == ["logged", "careful", "plain", "unfinished"]
    head = page.locator("th", has=page.get_by_role("button", name="result"))
    assert head.get_attribute("aria-sort") == "ascending"
    page.get_by_label("Search").fill("seed 1")
    assert run_names(page) == ["careful"]
    assert page.locator("output").inner_text() == "1 of 4 runs shown"


def test_two_ticked_runs_are_compared_by_keyboard_alone(visit, address):
    page = visit(address)
    button = page.get_by_role("button", name="Compare the two")
    assert button.is_disabled()
    for name in ("plain", "careful"):
        page.get_by_label(f"Compare {name}").focus()
        page.keyboard.press("Space")
    assert page.get_by_label("Compare logged").is_disabled()
    assert page.locator(".ticked").inner_text() == "careful and plain"
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?run=*")
    assert page.locator("h1").inner_text() == "careful and plain"
    assert page.locator(".sample").count() > 0
    page.get_by_role("link", name="All runs").click()
    page.wait_for_url(f"{address}/")


def test_a_run_is_opened_from_the_index_and_left_again(visit, address):
    page = visit(address)
    page.get_by_role("link", name="plain", exact=True).click()
    page.wait_for_url("**/plain/report.html")
    page.get_by_role("link", name="All runs").click()
    page.wait_for_url(f"{address}/")
    assert run_names(page)
