import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from data import measures, sections
from data import summary as module
from data.errors import CardinalityError, InputError
from data.ledger import Ledger, check_ledger
from data.summary import Drift, read_summary, write_summary, write_text
from tests.reports import report_examples as examples
from tests.repository import ROOT

DOCS = ROOT / "docs" / "summary.md"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "embedded" / "summary.json"


@pytest.mark.parametrize("run", [examples.aligned(), examples.aligned(False), examples.logged()])
def test_what_is_written_is_read_again(path, run):
    write_summary(path, run)
    assert read_summary(path) == run


def test_the_file_holds_the_fields_of_the_contract(path):
    write_summary(path, examples.aligned())
    content = json.loads(path.read_text())
    assert next(iter(content)) == "schema" and content["schema"] == 1
    assert {"run", "recipe", "seed", "config_digest", "versions", "seconds"} <= content.keys()
    entry = content["rounds"][0]
    assert {"round", "ledger", "teacher_calls", "swap_rate", "label_precision"} <= entry.keys()
    assert {"agreement_before", "agreement_after"} <= entry["student"].keys()
    assert {"win_rate", "ci95", "wins", "ties", "losses", "judge"} <= entry["policy"].keys()
    drift = "kl_to_base mean_tokens distinct_2 perplexity student_reward teacher_reward judge_score"
    assert set(entry["drift"]) == set(drift.split())
    assert {"stage", "cached", "seconds", "artifact"} <= entry["stages"][0].keys()
    assert {"win_rate", "ci95", "by_dataset"} <= content["final"].keys()
    assert {"win_rate", "ci95", "n"} <= content["final"]["by_dataset"]["sorting"].keys()


def test_equal_summaries_are_equal_files(path):
    write_summary(path, examples.aligned())
    first = path.read_bytes()
    write_summary(path, examples.aligned())
    assert path.read_bytes() == first


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path):
    write_summary(path, examples.aligned())
    before = path.read_bytes()
    broken = examples.aligned()
    broken.seconds = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_summary(path, broken)
    with pytest.raises(TypeError):
        write_text(path, None)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["final"].update(win_rate=0.999),
        lambda c: c["rounds"][0]["ledger"].update(asked=7),
        lambda c: c.update(seed=1),
        lambda c: c.pop("checksum"),
        lambda c: c.update(checksum="sha256:" + "0" * 64),
    ],
)
def test_a_summary_that_was_changed_is_refused(path, change):
    edited(path, change)
    with pytest.raises(InputError, match="content has changed .* `tsalign verify --repair`"):
        read_summary(path)
    assert read_summary(path, changed=True).run == "embedded"


def test_any_text_may_stand_in_a_summary(path):
    odd = examples.aligned()
    odd.config = {"recipe": "\ud800", "x": 2.0, "y": [None, True, {"é": -0.0}]}
    write_summary(path, odd)
    assert read_summary(path) == odd


def test_text_that_no_file_can_hold_is_escaped(tmp_path):
    write_text(tmp_path / "page", "a\ud800b é")
    assert (tmp_path / "page").read_text(encoding="utf-8") == "a\\ud800b é"


def edited(path, change):
    write_summary(path, examples.aligned())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(schema=2), "not a summary of schema 1"),
        (lambda c: c.pop("schema"), "not a summary of schema 1"),
        (lambda c: c["rounds"][1].pop("ledger"), "field 'rounds.1.ledger' is not valid"),
        (lambda c: c.update(new=1), "field 'new' is not valid"),
        (lambda c: c["final"].update(ci95=[1.0]), "field 'final.ci95.1' is not valid"),
        (lambda c: c.update(seconds=float("inf")), "field 'seconds' is not valid"),
    ],
)
def test_another_schema_or_a_field_that_does_not_fit_is_named(path, change, said):
    edited(path, change)
    with pytest.raises(InputError, match=re.escape(said)):
        read_summary(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 200_000])
def test_what_is_no_summary_is_refused(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(InputError, match="run the recipe again"):
        read_summary(tmp_path / "summary.json")


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such run; `tsalign status` lists the runs"):
        read_summary(tmp_path / "summary.json")
    with pytest.raises(InputError, match="is a folder"):
        read_summary(tmp_path)


def test_numbers_that_are_none_never_get_in():
    values = dict.fromkeys(Drift.model_fields, 0.0)
    with pytest.raises(ValidationError, match="kl_to_base"):
        Drift(**values | {"kl_to_base": float("nan")})


def test_an_invocation_that_found_everything_done_says_so():
    before = examples.aligned()
    again = before.all_cached(seconds=0.4)
    assert again.seconds == 0.4 and len(again.stages()) == len(before.stages()) > 0
    assert all(record.cached and record.seconds == 0 for record in again.stages())
    assert again.final == before.final and not before.stages()[-1].cached
    assert [r.computed_seconds for r in again.stages()] == [
        r.computed_seconds for r in before.stages()
    ]


COUNT = st.integers(0, 50)


@st.composite
def ledgers(draw):
    """Ledgers that add up, from what became of every completion, prompt and pair."""
    x = {name: draw(COUNT) for name in Ledger.model_fields}
    x["labelled"] = x["trained"] + x["too_long"]
    x["retokenized"] = draw(st.integers(0, x["trained"]))
    x["unparsable"] = draw(st.integers(0, x["unjudged"]))
    x["reused"] = draw(st.integers(0, x["labelled"]))
    x["labelled"] -= x["reused"]
    x["kept_unsure"] = draw(st.integers(0, min(x["labelled"], x["teacher_tied"])))
    out = ("teacher_tied", "inconsistent", "unjudged", "dropped_disagreement", "below_margin")
    out += ("student_only",)
    x["mined"] = x["labelled"] + sum(x[name] for name in out) - x["kept_unsure"]
    ordered = x["mined"] - x["teacher_tied"] - x["inconsistent"] - x["unjudged"]
    x["swapped"] = draw(st.integers(0, ordered))
    x["agreed"] = ordered - x["swapped"]
    x["asked"] = x["no_candidates"] + x["tied"] + x["paired"]
    completions = ("usable", "empty", "truncated", "unscored", "duplicate")
    x["generated"] = sum(x[name] for name in completions)
    return Ledger(**x)


@given(ledgers(), st.sampled_from(sorted(Ledger.model_fields)), st.integers(1, 5))
def test_a_ledger_adds_up_until_any_of_its_numbers_is_changed(ledger, name, more):
    check_ledger(ledger)
    wholes = {"retokenized": ledger.trained, "unparsable": ledger.unjudged}  # any part is right
    more += wholes.get(name, 0)
    wrong = ledger.model_copy(update={name: getattr(ledger, name) + more})
    with pytest.raises(CardinalityError, match=f"ledger: .*{name}.* does not hold"):
        check_ledger(wrong)


def documented_fields():
    """Names in the first column of every table of the documentation, by heading."""
    found, heading = {}, ""
    for line in DOCS.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip("`")
        for name in re.findall(r"`([a-z0-9_]+)`", line.split("|")[1] if line[:2] == "| " else ""):
            found.setdefault(heading, set()).add(name)
    return found


ENTRIES = {
    name: entry
    for name, entry in {**vars(measures), **vars(sections), **vars(module)}.items()
    if isinstance(entry, type) and issubclass(entry, module.Entry) and entry is not module.Entry
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_every_field_is_documented(entry: type[BaseModel]):
    fields = set(entry.model_fields)
    if "schema_version" in fields:
        fields = fields - {"schema_version"} | {"schema"}
    assert documented_fields()[entry.__name__] == fields
