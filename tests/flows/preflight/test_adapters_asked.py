"""Recipes that ask for policies as adapters of their base, and those that cannot have them."""

import pytest

from data.errors import InputError
from flows.fingerprint import engine_of
from flows.preflight import adapters
from flows.table import recipe_from
from models.engine_choice import Choice


@pytest.fixture
def asked(monkeypatch):
    """A recipe of the world that asks for them, with changes; vLLM is installed."""
    monkeypatch.setattr(
        adapters, "sampling_engine", lambda recipe: Choice(recipe.sampling.engine, "")
    )

    def asked(**changes):
        values = {"run": "demo", "rounds": 3, "world": {}, "evaluate": {"judge": "oracle"}}
        return recipe_from(values | {"generate": {"engine": "vllm", "adapters": True}} | changes)

    return asked


def test_there_is_room_for_the_adapters_of_all_rounds(asked):
    recipe = asked(policy={"adapter": {"r": 16}})
    adapters.check_adapters(recipe)
    assert adapters.room_of(recipe) == 64
    assert engine_of(recipe).endswith(" adapters")
    assert not engine_of(recipe, "transformers").endswith(" adapters")
    assert adapters.room_of(asked(generate={"engine": "vllm"})) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"policy": {"method": "full"}}, "policy.method full trains all weights"),
        ({"generate": {"engine": "transformers", "adapters": True}}, "and not transformers"),
        ({"execution": {"kind": "ray", "workers": 2}}, "workers of Ray are handed merged weights"),
    ],
)
def test_what_is_trained_or_served_otherwise_is_refused(asked, changes, says):
    with pytest.raises(InputError, match=f"^generate.adapters: .*{says}"):
        adapters.check_adapters(asked(**changes))
