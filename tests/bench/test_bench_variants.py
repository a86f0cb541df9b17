"""What the command line says of recipes and seeds."""

import pytest

from bench.variants import Variant, parse_seeds, parse_variant, parse_variants
from data.errors import InputError


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("recipes/tunnel.yaml", Variant("tunnel", "recipes/tunnel.yaml")),
        ("base=a/b.yaml", Variant("base", "a/b.yaml")),
        ("a.yaml:policy.beta=0.2", Variant("a-policy.beta-0.2", "a.yaml", ("policy.beta=0.2",))),
        ("x=a.yaml:b=1,c.d=2", Variant("x", "a.yaml", ("b=1", "c.d=2"))),
        ("x=a.yaml:b=[1, 2],c={d: 1}", Variant("x", "a.yaml", ("b=[1, 2]", "c={d: 1}"))),
        ("x=a.yaml:b={c: 1, d: 2}", Variant("x", "a.yaml", ("b={c: 1, d: 2}",))),
        ("x=a.yaml:b=u:v=w", Variant("x", "a.yaml", ("b=u:v=w",))),
    ],
)  # fmt: skip
def test_a_recipe_is_a_file_with_changes_and_a_label(text, variant):
    assert parse_variant(text) == variant


@pytest.mark.parametrize("text", ["", "a.yaml:b=" + "x" * 60])
def test_what_gives_no_short_label_asks_for_one(text):
    with pytest.raises(InputError, match="LABEL="):
        parse_variant(text)


def test_labels_are_told_apart():
    with pytest.raises(InputError, match="two recipes are named 'a'"):
        parse_variants(["a.yaml", "other/a.yaml"])


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [0, 1, 2]), ("1", [0]), ("4,2", [4, 2]), ("7,", [7])]
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "", ",", "a", "1,1", "-1,2", "-3"])
def test_seeds_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)
    with pytest.raises(InputError, match="--worlds"):
        parse_seeds(text, "--worlds")
