"""A student learns from pairs and targets: what the loss is, what is learned, what is left out."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from data.errors import CardinalityError, InputError
from data.recipes.advantage import AdpaConfig, DckdConfig, StudentPolicy
from data.recipes.recipe import RuntimeConfig
from data.schemas import TARGETS
from data.tables import write_table
from models.chat import load_tokenizer, render_completion
from models.teacher import Teacher
from models.training.paired import train_on_pairs
from tasks.targets import columns
from tests.fixtures.models import chatml_tokenizer, save_policy
from tests.models.training.training_rows import file_digests, preferences

RUNTIME = RuntimeConfig(device="cpu")
PAIRS = preferences(12)
TALKS = PAIRS["messages"].to_pylist()
WHOLE = 1000  # more than the vocabulary


class Tables(NamedTuple):
    """TARGETS on disk."""

    chosen: Path
    rejected: Path
    own: Path  # on answers of "the student", the rejected ones of other prompts
    reference: Path  # of the reference at the same tokens


@pytest.fixture(scope="module")
def reference_dir(once: Any) -> Path:
    return once("reference", lambda out: save_policy(chatml_tokenizer(), out, seed=5))


@pytest.fixture(scope="module")
def tables(other_policy_dir: Path, reference_dir: Path, tmp_path_factory: Any) -> Any:
    """TARGETS of another policy, and of a reference: k -> Tables."""
    teachers = [Teacher(one, RUNTIME) for one in (other_policy_dir, reference_dir)]
    own = PAIRS["rejected"].to_pylist()[::-1]

    def write(path: Path, names: Any, found: Any) -> Path:
        table = pa.table([names, PAIRS["prompt_id"], *columns(found)], schema=TARGETS)
        write_table(path, table, TARGETS)
        return path

    def tables(k: int) -> Tables:
        folder = tmp_path_factory.mktemp("targets")
        made = []
        for side in ("chosen", "rejected"):
            items = list(zip(TALKS, PAIRS[side].to_pylist(), strict=True))
            found = teachers[0].targets(items, k, 1.0)
            made.append(write(folder / side, PAIRS[f"{side}_id"], found))
        items = list(zip(TALKS, own, strict=True))
        found = teachers[0].targets(items, k, 1.0)
        at = [one.top_ids for one in found if one]
        made.append(write(folder / "own", PAIRS["pair_id"], found))
        same = teachers[1].targets(items, k, 1.0, at)
        made.append(write(folder / "reference", PAIRS["pair_id"], same))
        return Tables(*made)

    return tables


def config(**changes: Any) -> StudentPolicy:
    given = {"method": "full", "learning_rate": 1e-3, "batch_size": 12, "max_length": 96}
    return StudentPolicy(**given | changes)


def train(out: Path, policy: Path, targets: Any, term: Any, **kwargs: Any) -> Any:
    out.mkdir(exist_ok=True)
    given = {"config": config(), "temperature": 1.0, "seed": 0, "runtime": RUNTIME}
    given |= {"preferences": PAIRS} | kwargs
    return train_on_pairs(out, policy=policy, targets=targets, term=term, **given)


def answered(model: Path, texts: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of every answer the logits at its tokens, (tokens, words), and these tokens."""
    tokenizer, found = load_tokenizer(model), []
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    for talk, text in zip(TALKS, texts, strict=True):
        prompt, answer = render_completion(tokenizer, talk, text)
        with torch.no_grad():
            logits = loaded(torch.tensor([prompt + answer])).logits
        found.append((logits[0, len(prompt) - 1 : -1], torch.tensor(answer)))
    return found


def nll(policy: Path) -> float:
    """Of the chosen answers: a mean over tokens, then over answers."""
    means = [
        torch.nn.functional.cross_entropy(logits, tokens)
        for logits, tokens in answered(policy, PAIRS["chosen"].to_pylist())
    ]
    return float(torch.stack(means).mean())


def trl_kl(teacher: Path, policy: Path, side: str) -> float:
    """TRL's generalised JSD with beta 0, of each answer, its mean over answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental: it is an oracle here
        from trl.experimental.gkd import GKDTrainer
    texts = PAIRS[side].to_pylist()
    both = zip(answered(policy, texts), answered(teacher, texts), strict=True)
    values = [GKDTrainer.generalized_jsd_loss(p[0], t[0], beta=0.0) for p, t in both]
    return float(torch.stack(values).mean())


@pytest.mark.parametrize("micro_batch", [0, 1, 5])
@pytest.mark.parametrize("on", ["both", "chosen", "none"])
def test_dckd_over_the_whole_vocabulary_is_trls_sum_whatever_the_parts(
    tmp_path: Path,
    policy_dir: Path,
    other_policy_dir: Path,
    tables: Any,
    micro_batch: int,
    on: str,
) -> None:
    made = tables(WHOLE)
    read = {"both": [made.chosen, made.rejected], "chosen": [made.chosen], "none": []}[on]
    runtime = RuntimeConfig(device="cpu", train_micro_batch=micro_batch)
    term = DckdConfig(alpha=0.7)
    meta, learned = train(tmp_path / "out", policy_dir, read, term, runtime=runtime)
    sides = ("chosen", "rejected")[: len(read)]
    expected = nll(policy_dir)
    expected += 0.7 * sum(trl_kl(other_policy_dir, policy_dir, side) for side in sides)
    # Half precision: the targets are exact to 2**-8 of a nat, far less where they count.
    assert meta["losses"] == [pytest.approx(expected, rel=1e-3)]
    assert meta["steps"] == 1 and learned == PAIRS["pair_id"].to_pylist()
    assert ("kept_mass" in meta) == (on != "none")
    if on != "none":
        assert meta["kept_mass"] == [pytest.approx(1.0)] * 2


@pytest.mark.parametrize("micro_batch", [0, 5])
@pytest.mark.parametrize("with_reference", [True, False])
def test_adpa_over_the_whole_vocabulary_is_the_dense_formula(
    tmp_path: Path,
    policy_dir: Path,
    other_policy_dir: Path,
    reference_dir: Path,
    tables: Any,
    micro_batch: int,
    with_reference: bool,
) -> None:
    made, own = tables(WHOLE), PAIRS["rejected"].to_pylist()[::-1]
    term = AdpaConfig(gamma=0.5, reference="exact" if with_reference else "none")
    runtime = RuntimeConfig(device="cpu", train_micro_batch=micro_batch)
    references = [made.reference] if with_reference else []
    given = {"references": references, "runtime": runtime}
    meta, _ = train(tmp_path / "out", policy_dir, [made.own], term, **given)
    models = (policy_dir, other_policy_dir, reference_dir)
    gains = []
    for (p, _), (t, _), (r, _) in zip(*(answered(one, own) for one in models), strict=True):
        advantage = t.log_softmax(1) - with_reference * r.log_softmax(1)
        gains.append((p.softmax(1) * advantage).sum(1).mean())
    gain = float(torch.stack(gains).mean())
    assert meta["advantage"][0] == pytest.approx(gain, rel=2e-3)
    assert meta["losses"] == [pytest.approx(nll(policy_dir) - 0.5 * gain, rel=1e-3)]


def test_what_the_advantage_asks_for_is_learnt(
    tmp_path: Path, policy_dir: Path, tables: Any
) -> None:
    made = tables(20)
    long = config(epochs=30, batch_size=4)
    given = {"references": [made.reference], "config": long}
    meta, _ = train(tmp_path / "out", policy_dir, [made.own], AdpaConfig(), **given)
    assert meta["advantage"][1] > meta["advantage"][0] + 0.5
    assert meta["final_loss"] < meta["first_loss"]
    assert {"loss/nll", "advantage", "kept_mass"} <= meta["metrics"].keys()
    assert 0 < meta["kept_mass"][0] < 1


def test_an_adapter_is_merged_and_kept(tmp_path: Path, policy_dir: Path, tables: Any) -> None:
    lora = config(method="lora", adapter={"r": 4}, epochs=4, learning_rate=1e-2)
    made = tables(5)
    read = [made.chosen, made.rejected]
    meta, _ = train(tmp_path / "out", policy_dir, read, DckdConfig(alpha=1.0), config=lora)
    assert meta["final_loss"] < meta["first_loss"]
    assert (tmp_path / "out" / "adapter").is_dir()


def unread(path: Path, row: int, to: Path) -> Path:
    """The table without what the teacher says of a row, as if that were too long for it."""
    rows = pq.read_table(path).to_pylist()
    rows[row] |= dict.fromkeys(("token_ids", "logps", "rest", "top_ids", "top_logps"))
    write_table(to, pa.Table.from_pylist(rows, TARGETS), TARGETS)
    return to


def test_what_is_too_long_or_was_not_read_is_counted(
    tmp_path: Path, policy_dir: Path, tables: Any
) -> None:
    made = tables(3)
    lost = unread(made.rejected, 2, tmp_path / "lost")
    tokenizer = load_tokenizer(policy_dir)
    lengths = []
    for pair in PAIRS.to_pylist():
        texts = (pair["chosen"], pair["rejected"])
        sides = [render_completion(tokenizer, pair["messages"], text) for text in texts]
        lengths.append(max(len(prompt) + len(answer) for prompt, answer in sides))
    limit = sorted(lengths)[-2]
    over = {i for i, length in enumerate(lengths) if length > limit} - {2}
    given = {"config": config(max_length=limit)}
    meta, learned = train(tmp_path / "out", policy_dir, [made.chosen, lost], DckdConfig(), **given)
    assert (meta["unread"], meta["too_long"]) == (1, len(over)) and over
    kept = set(range(12)) - over - {2}
    assert learned == [PAIRS["pair_id"][i].as_py() for i in sorted(kept)]
    with pytest.raises(InputError, match="no pair is left to learn from"):
        short = config(max_length=8)
        train(tmp_path / "none", policy_dir, [made.chosen], DckdConfig(), config=short)
    lost = unread(made.reference, 4, tmp_path / "lost")
    meta, learned = train(tmp_path / "own", policy_dir, [made.own], AdpaConfig(), references=[lost])
    assert meta["unread"] == 1 and PAIRS["pair_id"][4].as_py() not in learned


def test_several_answers_to_a_prompt_are_a_row_each(
    tmp_path: Path, policy_dir: Path, tables: Any
) -> None:
    made = tables(3)
    rows = pq.read_table(made.own).to_pylist()
    twice = [row | {"completion_id": f"{row['completion_id']}-{n}"} for n in "ab" for row in rows]
    write_table(tmp_path / "twice", pa.Table.from_pylist(twice, TARGETS), TARGETS)
    term = AdpaConfig(reference="none")
    one, _ = train(tmp_path / "one", policy_dir, [made.own], term)
    two, learned = train(
        tmp_path / "two", policy_dir, [tmp_path / "twice"], term, config=config(batch_size=24)
    )
    assert two["rows"] == 24 and len(set(learned)) == 12
    assert two["losses"] == [pytest.approx(one["losses"][0], rel=1e-4)]


def test_targets_of_other_answers_are_refused(
    tmp_path: Path, policy_dir: Path, tables: Any
) -> None:
    made = tables(3)
    with pytest.raises(CardinalityError, match="there are none of the answer 'p0-0'"):
        train(tmp_path / "out", policy_dir, [made.rejected], DckdConfig())
    with pytest.raises(CardinalityError, match="have read other answers"):
        train(tmp_path / "out", policy_dir, [made.own], AdpaConfig(), references=[made.chosen])


def test_another_vocabulary_is_refused(tmp_path: Path, policy_dir: Path, tables: Any) -> None:
    rows = pq.read_table(tables(3).chosen).to_pylist()
    rows[0]["top_ids"][1] = 5000
    write_table(tmp_path / "other", pa.Table.from_pylist(rows, TARGETS), TARGETS)
    with pytest.raises(InputError, match="the same vocabulary"):
        train(tmp_path / "out", policy_dir, [tmp_path / "other"], DckdConfig())


def test_a_killed_training_goes_on_as_if_undisturbed(
    tmp_path: Path, policy_dir: Path, tables: Any
) -> None:
    made, often = tables(5), RuntimeConfig(device="cpu", checkpoint_minutes=0)
    given = {"config": config(batch_size=4, epochs=4), "runtime": often}
    given |= {"references": [made.reference]}
    train(tmp_path / "whole", policy_dir, [made.own], AdpaConfig(), **given)

    def stop(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    given |= {"checkpoints": tmp_path / "scratch"}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", policy_dir, [made.own], AdpaConfig(), on_progress=stop, **given)
    meta, _ = train(tmp_path / "out", policy_dir, [made.own], AdpaConfig(), **given)
    assert meta["resumed_from_step"] >= 4
    assert file_digests(tmp_path / "out") == file_digests(tmp_path / "whole")
    other, _ = train(tmp_path / "other", policy_dir, [made.own], AdpaConfig(gamma=1.0), **given)
    assert other["resumed_from_step"] == 0  # of another loss
