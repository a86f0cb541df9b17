"""A key holds the settings that differ from their defaults; so a default may not change unseen.

Every stage is written down in `defaults.json` with its version and the defaults of its settings. A
new setting, or a default that was changed together with the versions of the stages that read it:

    RENEW_GOLDEN=1 python -m pytest tests/tasks/test_defaults.py
"""

import json
import os
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pydantic_core import PydanticUndefined, to_jsonable_python

from data.recipes.config import Config
from flows.fingerprint import stage_versions
from tasks.stage import STAGES

WRITTEN = Path(__file__).parent / "defaults.json"
RENEW = "RENEW_GOLDEN" in os.environ


def configs(kind):
    """The configurations within a type, in unions, lists and the fields of others too."""
    if isinstance(kind, type) and issubclass(kind, Config):
        yield kind
        for name, field in kind.model_fields.items():
            if name not in kind.not_in_key:
                yield from configs(field.annotation)
    for inner in get_args(kind):
        yield from configs(inner)


def defaults(stage):
    """By "Class.field", of all that its arguments may hold."""
    found = {}
    for hint in get_type_hints(stage.body).values():
        for config in configs(hint):
            for name, field in config.model_fields.items():
                default = field.get_default()
                if name not in config.not_in_key and default is not PydanticUndefined:
                    found[f"{config.__name__}.{name}"] = to_jsonable_python(default)
    return dict(sorted(found.items()))


def now():
    stage_versions()  # imports them all
    return {
        name: {"version": stage.version, "defaults": found}
        for name, stage in sorted(STAGES.items())
        if (found := defaults(stage))
    }


def test_a_changed_default_comes_with_a_new_version():
    if RENEW:
        WRITTEN.write_text(json.dumps(now(), indent=1) + "\n")
    found, written = now(), json.loads(WRITTEN.read_text())
    for name in found.keys() & written.keys():
        mine, its = found[name], written[name]
        changed = [f for f in its["defaults"] if mine["defaults"].get(f) != its["defaults"][f]]
        if mine["version"] == its["version"]:
            assert not changed, f"{name} reads {changed}: bump its version, see {__doc__}"
    assert found == written, f"write it anew: {__doc__}"


@pytest.mark.parametrize(("name", "field"), [("optimize", "PolicyConfig.beta"),
                                             ("optimize", "DualClipLoss.chosen"),
                                             ("generate", "DecodingConfig.top_p")])  # fmt: skip
def test_settings_within_settings_are_written_down(name, field):
    assert field in now()[name]["defaults"]
