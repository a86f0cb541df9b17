"""docs/recipes.md is what the recipe says."""

from flows import recipe_docs
from tests.repository import ROOT


def test_the_reference_is_up_to_date(capsys):
    recipe_docs.main()
    written = (ROOT / "docs" / "recipes.md").read_text()
    assert capsys.readouterr().out == written, "run python -m flows.recipe_docs > docs/recipes.md"
