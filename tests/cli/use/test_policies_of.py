"""Which policies a run has left: found by their content, refused in words that help."""

import shutil

import pytest

from cli.use.policies_of import held_out, names_of, pair_of, policy_of, tables_of
from data.errors import InputError
from data.store.digests import tree_digest
from tests.cli.use.used import Place, copied, none_adopted


@pytest.fixture(scope="module")
def place(tiny_run, tmp_path_factory):
    return copied(tiny_run, tmp_path_factory.mktemp("used") / "copy")


def test_the_result_is_what_the_runs_link_leads_to(place):
    policy = policy_of(place.store, place.summary())
    assert policy.round == 2 and policy.adopted and policy.name == "round 2"
    assert policy.digest == place.summary().links["policy"]
    assert tree_digest(policy.path) == policy.digest


def test_the_base_is_the_users_folder(place, policy_dir):
    policy = policy_of(place.store, place.summary(), 0)
    assert policy.path == policy_dir and policy.name == "base"
    assert policy.digest == tree_digest(policy_dir)


def test_rounds_are_different_policies(place):
    digests = {policy_of(place.store, place.summary(), number).digest for number in (0, 1, 2)}
    assert len(digests) == 3


def test_the_prompts_that_were_evaluated(place):
    rows = held_out(place.store, place.summary())
    assert len(rows) == 20 and all(row["messages"][0]["role"] == "user" for row in rows)


def test_tables_have_their_rows_and_digests(place):
    tables = {name: rows for name, rows, _ in tables_of(place.store, place.summary())}
    assert tables["split test"] == 20
    assert tables["round 2: relabel"] == place.summary().rounds[1].ledger.labelled


@pytest.mark.parametrize(
    ("rounds", "against", "found"),
    [
        (None, None, ["base", "round 2"]),
        ("1", None, ["base", "round 1"]),
        ("2, 1", None, ["round 2", "round 1"]),
        (None, "tiny@1", ["round 1", "round 2"]),
        ("1", "tiny", ["round 2", "round 1"]),
        (None, "other@0", ["other, base", "tiny, round 2"]),
    ],
)
def test_two_policies_side_by_side(place, rounds, against, found):
    place.change("other", lambda summary: None)
    assert names_of(pair_of(place.store, place.runs, "tiny", rounds, against)) == found


@pytest.mark.parametrize(
    ("rounds", "against", "said"),
    [
        ("3", None, "has no round 3; its rounds are 1, 2, 0 is the base"),
        ("2,2", None, "names one policy twice"),
        ("1,2,0", None, "is not one or two rounds"),
        ("one", None, "is not one or two rounds"),
        ("-1", None, "is not one or two rounds"),
        ("1,2", "tiny", "name one round of RUN beside --against"),
        (None, "tiny", "is the same policy"),
        (None, "tiny@x", "is not RUN or RUN@ROUND"),
        (None, "nobody", "no such run"),
    ],
)
def test_two_policies_that_cannot_be_had(place, rounds, against, said):
    with pytest.raises(InputError, match=said):
        pair_of(place.store, place.runs, "tiny", rounds, against)


def test_no_round_was_adopted(place, tmp_path):
    place.change("refused", none_adopted)
    summary = place.summary("refused")
    with pytest.raises(InputError, match=r"no round's policy was adopted.* are kept, name it by"):
        policy_of(place.store, summary)
    assert not policy_of(place.store, summary, 2).adopted
    lost = copied(place.folder, tmp_path / "lost")
    shutil.rmtree(policy_of(lost.store, summary, 2).path)
    with pytest.raises(InputError, match="are not kept in the store any more"):
        policy_of(lost.store, summary)
    with pytest.raises(InputError, match="round 2's policy was not adopted, and is not in the"):
        policy_of(lost.store, summary, 2)


def test_damaged_weights_are_not_used(tiny_run, tmp_path):
    place = copied(tiny_run, tmp_path / "damaged")
    weights = policy_of(place.store, place.summary(), 1).path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"round 1's policy is not in .* content has changed"):
        policy_of(Place(place.folder).store, place.summary(), 1)


def test_a_base_that_has_changed_is_not_taken_for_the_runs(place, llama_reward_dir, tmp_path):
    def other(summary):
        summary.config["policy"]["model"] = str(llama_reward_dir)

    place.change("changed", other)
    with pytest.raises(InputError, match="has changed since the run"):
        policy_of(place.store, place.summary("changed"), 0)
    place.change("gone", lambda s: s.config["policy"].update(model=str(tmp_path / "no")))
    with pytest.raises(InputError, match="its base policy is gone"):
        policy_of(place.store, place.summary("gone"), 0)


def test_runs_without_a_policy(place):

    def student_alone(summary):
        summary.links.pop("policy")
        for entry in summary.rounds:
            entry.stages = [record for record in entry.stages if record.kind != "policy"]

    def begun(summary):
        summary.finished = None
        summary.rounds.clear()

    place.change("student", student_alone)
    with pytest.raises(InputError, match="trained no policy; what it gave is student"):
        policy_of(place.store, place.summary("student"))
    place.change("begun", begun)
    with pytest.raises(InputError, match="no policy has been trained yet"):
        policy_of(place.store, place.summary("begun"))
