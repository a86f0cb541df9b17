"""docs/recipes.md is what the recipe says."""

from pathlib import Path

from flows import recipe_docs


def test_the_reference_is_up_to_date(capsys):
    recipe_docs.main()
    written = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    assert capsys.readouterr().out == written, "run python -m flows.recipe_docs > docs/recipes.md"
