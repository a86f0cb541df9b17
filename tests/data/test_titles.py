"""A call of a stage is addressed by its stage and its role; a title is only shown."""

import pytest

from data.summary import StageRecord, addresses
from data.titles import address, means


def record(title, **fields):
    digest = "sha256:" + "0" * 64
    given = {"cached": False, "seconds": 0, "computed_seconds": 0, "kind": "k", "key": digest}
    return StageRecord(stage=title, artifact=digest, **given | fields)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("generate", True),
        ("generate:dev", True),
        ("round 2 answers dev prompts", True),
        ("generate:test", False),
        ("gener", False),
        ("dev", False),
    ],
)
def test_a_call_is_meant_by_its_stage_its_address_or_its_title(wanted, meant):
    assert means(wanted, "generate", "dev", "round 2 answers dev prompts") is meant


def test_the_only_call_of_a_stage_has_its_name_as_address():
    assert address("mine", "") == "mine" and address("generate", "dev") == "generate:dev"


def test_what_commands_may_name_is_each_stage_and_each_of_its_calls_once():
    records = [
        record("base answers dev prompts", name="generate", role="dev"),
        record("round 1 answers dev prompts", name="generate", role="dev"),
        record("mine", name="mine"),
    ]
    assert addresses(records) == ["generate", "generate:dev", "mine"]


def test_a_record_of_an_older_version_goes_by_its_title():
    old = record("base answers dev prompts")
    assert old.address == "base answers dev prompts" and old.is_meant(old.address)
    assert (old.measures, old.round) == (False, 0)
