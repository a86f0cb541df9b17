"""Two runs of one recipe set against each other, and how far two models lie apart."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.other_machine import SETTINGS, changed, weights_apart
from models.host import LIMITS
from tests.reports import report_examples as examples


def test_calls_are_paired_by_round_title_and_place():
    one, other = examples.aligned(), examples.aligned()
    assert changed(one, other) == []
    twin = one.rounds[1].stages[0]
    for summary in (one, other):  # a call that is made twice in a round
        summary.rounds[1].stages.append(twin.model_copy(update={"artifact": "second"}))
    assert changed(one, other) == []
    other.rounds[1].stages[-1].artifact = "another"
    ((mine, its),) = changed(one, other)
    assert (mine.artifact, its.artifact, mine.round) == ("second", "another", twin.round)


def test_how_far_weights_lie_apart_by_hand(tmp_path):
    one, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"x": np.array([3.0, 0.0]), "y": np.array([4.0])}, one)  # norm 5
    save_file({"x": np.array([3.0, 0.3]), "y": np.array([4.4])}, other)  # 0.5 apart
    assert weights_apart(one, other) == "weights 1.0e-01 of their norm apart, 4.0e-01 at most"
    save_file({"x": np.array([3.0, 0.0])}, other)
    assert weights_apart(one, other) == "other weights"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_what_summaries_name(name):
    assert set(SETTINGS[name]) <= {"OMP_NUM_THREADS", *LIMITS}
