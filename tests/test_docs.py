"""Links of the documentation lead somewhere, and the commands it names exist."""

import re

import pytest

from cli import commands
from tests.repository import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
NAMES = {name.replace("_", "-") for name in commands.NAMES}


def heading(line):
    """The anchor that a heading has on a rendered page."""
    words = re.sub(r"[^\w\s-]", "", line.lstrip("# ").lower())
    return re.sub(r"\s", "-", words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            lines = file.read_text().splitlines()
            assert anchor in {heading(line) for line in lines if line.startswith("#")}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    text = page.read_text()
    written = re.findall(r"`tsalign ([^`\n]+)`", text) + re.findall(
        r"(?m)^\$? ?tsalign (.+)$", text
    )
    for command in written:
        first = command.split()[0]
        assert first.startswith(("-", "[")) or first in NAMES, command
