"""The premise check: what is read of BBH, twelve drafts, and the test of whether drafts matter."""

import gzip
import json

import numpy as np
import pytest

from benchmarks.rationale_rewrites import REWRITES
from benchmarks.rationales import (
    DATA,
    all_asked,
    drafts_of,
    permutation_p,
    read_examples,
    read_task,
    report,
    spread,
)

COT = """CANARY
-----
What to do.

Q: Is one two?
Options:
- yes
- no
A: Let's think step by step.
One is one. So the answer is No.

Q: Is one one?
A: It is. So the answer is yes.

Q: Is two two?
A: It is. So the answer is yes."""


def test_examples_are_read_with_their_answers():
    found = read_examples(COT)
    assert [one.answer for one in found] == ["no", "yes", "yes"]
    assert found[0].question == "Is one two?\nOptions:\n- yes\n- no"
    assert found[1].rationale == "It is. So the answer is yes."


def test_every_example_is_shown_in_four_styles_that_end_alike():
    drafts = drafts_of("navigate", read_examples(COT))
    assert len(drafts) == 12 and len({one.name for one in drafts}) == 12
    assert {one.name.split()[1] for one in drafts} == {"own", "alone", "brief", "points"}
    for number, answer in ((1, "no"), (2, "yes"), (3, "yes")):
        said = [one.said for one in drafts if one.name.startswith(str(number))]
        assert all(text.lower().endswith(f"the answer is {answer}.") for text in said)


def test_drafts_that_matter_are_told_from_those_that_do_not():
    rng = np.random.default_rng(0)
    items = rng.random(40)  # easy and hard ones, the same for all drafts
    alike = [(rng.random((12, 40)) < items).astype(float) for _ in range(20)]
    low = [permutation_p(one, 200) < 0.1 for one in alike]
    assert sum(low) <= 6  # of 20 where the chance of each is a tenth
    better = alike[0].copy()
    better[:4] = 1.0
    assert permutation_p(better, 500) < 0.01
    found, noise = spread(better)
    assert found > 2 * noise


def test_the_table_says_what_each_draft_is_worth():
    drafts = drafts_of("navigate", read_examples(COT))[:2]
    items = [{"input": f"{i}?", "target": "Yes"} for i in range(4)]
    asked = all_asked("navigate", drafts, items)
    assert asked[0].messages[1]["content"] == drafts[0].said
    said = {one.name: f"The answer is {'yes' if one.item < 3 else 'no'}." for one in asked}
    said[asked[0].name] = "I wonder."
    text = "\n".join(report(asked, said))
    assert "| 1 own | 50.0 % |" in text and "| 1 alone | 75.0 % |" in text
    assert "no answer in 1 of 8" in text


@pytest.mark.skipif(not DATA.is_dir(), reason="BBH's files are not here")
@pytest.mark.parametrize("task", REWRITES)
def test_the_recorded_tasks_have_three_examples_for_each_rewrite(task):
    drafts, items = read_task(DATA, task, 40)
    assert len(drafts) == 12 and len(items) == 40
    assert all(len(texts) == 3 for texts in REWRITES[task].values())
    whole = json.loads(gzip.decompress((DATA / f"{task}.json.gz").read_bytes()))["examples"]
    assert {one["input"] for one in items} <= {one["input"] for one in whole}
