"""Preferences of a user's file: what stands beside the prompt belongs to it."""

import json

import pytest

from data.errors import InputError
from data.readers.preferences import read_preferences


def said(role, content):
    return {"role": role, "content": content}


def read(tmp_path, **row):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row))
    (pair,) = read_preferences(path)[0].to_pylist()
    return pair


@pytest.mark.parametrize(
    "before", [[], [said("user", "q ")], [said("system", "s"), said("user", "q")]]
)
def test_an_answer_may_be_a_talk_that_ends_with_the_prompt(tmp_path, before):
    pair = read(tmp_path, prompt="q", chosen=[*before, said("assistant", "y")], rejected="n")
    assert (pair["chosen"], pair["rejected"]) == ("y", "n")


def test_a_talk_of_another_prompt_is_refused(tmp_path):
    chosen = [said("user", "z"), said("assistant", "y")]
    with pytest.raises(InputError, match="line 1: chosen is a talk of another prompt"):
        read(tmp_path, prompt="q", chosen=chosen, rejected="n")
