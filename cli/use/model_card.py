"""The model card of an exported policy or student: README.md, from the run's summary.

Loads neither torch nor Prefect.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from data.paths import named_path
from data.recipes.judges import OPENAI
from data.recipes.recipe import NONE, SMALL, WORLD
from data.reward_functions import SHIPPED
from data.summary import Round, Summary
from flows.earlier import whole
from flows.judge_words import called
from flows.judges_told import only_teacher, sentences
from reports.text import headline, interval, percent, rounds_done

PLEASED = (
    "**The only judge is the teacher that labelled the training pairs.** The number says how well "
    "the policy learned to please that teacher, not that people or another judge would prefer its "
    "answers; ask an independent judge before relying on it."
)
_METHODS = {"ts-align": "TS-Align", "optune": "OPTune", "tso": "TSO"}
_WORLDS = {
    WORLD: "a small model of tsalign's embedded world",
    SMALL: "the smaller model of tsalign's embedded world",
    NONE: "none",
}


@dataclass(frozen=True)
class Exported:
    """What a card is about."""

    summary: Summary
    entry: Round | None  # whose policy it is; None for a student
    digest: str  # of the artifact in the store
    kind: str = "policy"  # "policy", "adapter" or "student"
    adopted: bool = True
    base_digest: str | None = None
    tables: tuple[tuple[str, int | None, str], ...] = ()  # of prompts and pairs: rows, digest
    rounds: tuple[int, ...] = ()  # whose adapters are joined in this one
    trust_remote_code: bool = False
    segments: bool = False  # a student that reads two texts
    stop_ids: tuple[int, ...] = ()  # that end an answer and its generation_config.json lacks
    repository: str | None = None  # on a hub, where it is pushed
    licence: str | None = None  # by the base's own card
    licence_files: tuple[str, ...] = field(default=())  # copied from the base's folder


def model_card(exported: Exported) -> str:
    """README.md: front matter for a hub, result, warnings, how it was made and how to load it."""
    parts = [
        _front_matter(exported),
        *_title(exported),
        *_result(exported),
        *_warnings(exported),
        *_loading(exported),
        *_making(exported),
        *_data(exported),
        *_licence(exported),
    ]
    return "\n".join(parts).rstrip() + "\n"


def licence_of(base: Path | None) -> tuple[str | None, list[Path]]:
    """What a model's folder says of its licence: the card's word, and files that hold one."""
    if base is None:
        return None, []
    named = None
    card = base / "README.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        if text.startswith("---\n") and "\n---" in text[4:]:
            try:
                known = yaml.safe_load(text[4 : text.index("\n---", 4)])
            except yaml.YAMLError:
                known = None
            value = known.get("license") if isinstance(known, dict) else None
            named = value if isinstance(value, str) else None
    begins = ("license", "licence", "notice", "copying", "use_policy")
    files = [
        path
        for path in sorted(base.iterdir())
        if path.is_file() and path.name.lower().startswith(begins)
    ]
    return named, files


def shown(name: str | list[dict[str, Any]]) -> str:
    """A model or file as a card names it: a hub id, or the last part of a path of this machine."""
    if isinstance(name, list):  # reward functions
        return " and ".join(shown(one["function"]) for one in name)
    if name in _WORLDS:
        return _WORLDS[name]
    if is_hub_id(name) or name in SHIPPED or name.partition(":")[0] == OPENAI:
        return name
    return f"{named_path(name, 'name').name} (a local folder or file)"


def is_hub_id(name: str) -> bool:
    """Whether a recipe's model is named as on a hub, and is no folder here."""
    if name in _WORLDS or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return False
    return not named_path(name, "policy.model").exists()


def _front_matter(exported: Exported) -> str:
    base = _base_of(exported)
    made = "dpo" if exported.entry else exported.summary.recipe
    made = "reward-model" if exported.kind == "student" else made
    values: dict[str, Any] = {
        "library_name": "peft" if exported.kind == "adapter" else "transformers",
        "pipeline_tag": "text-classification" if exported.kind == "student" else "text-generation",
        "tags": ["tsalign", made],
    }
    if is_hub_id(base):
        values["base_model"] = base
    if exported.licence:
        values["license"] = exported.licence
    return f"---\n{yaml.safe_dump(values, sort_keys=True, allow_unicode=True)}---\n"


def _base_of(exported: Exported) -> str:
    """The recipe's name of the model that training began with."""
    section = "student" if exported.kind == "student" else "policy"
    return str(exported.summary.config[section]["model"])


def _title(exported: Exported) -> Iterator[str]:
    summary, entry = exported.summary, exported.entry
    of = ", student" if exported.kind == "student" else f", round {entry.round}" if entry else ""
    yield f"# {summary.run}{of}"
    yield ""
    config, method = summary.config, _METHODS.get(summary.recipe, summary.recipe)
    if exported.kind == "student":
        yield (
            f"A reward model: {shown(config['student']['model'])}, distilled by tsalign "
            f"{version('tsalign')} from the judgments of {_teacher(summary)}."
        )
    else:
        what = "The LoRA adapter of a policy" if exported.kind == "adapter" else "A policy"
        yield (
            f"{what}: {shown(config['policy']['model'])}, aligned with {method} "
            f"by tsalign {version('tsalign')}."
        )
    if len(exported.rounds) > 1:
        yield (
            f"It joins the adapters of rounds {', '.join(map(str, exported.rounds))}: on the base "
            "it gives the merged weights, up to rounding."
        )
    yield ""


def _teacher(summary: Summary) -> str:
    asked = summary.config.get("teacher", {}).get("model")
    if asked is not None:
        return f"the teacher, {shown(asked)}"
    known = whole(summary)
    return f"a recorded judge ({known.measures[known.headline].judge})"


def _result(exported: Exported) -> Iterator[str]:
    yield from ("## Result", "")
    if exported.kind == "student":
        yield from _agreement(exported.summary)
    else:
        yield from _win_rate(exported)
    yield ""


def _win_rate(exported: Exported) -> Iterator[str]:
    entry = exported.entry
    if entry is None:  # of a flow without such rounds
        yield headline(whole(exported.summary)).text
        return
    if not exported.adopted:
        rate = f" (it won {percent(entry.gate.win_rate)} there)" if entry.gate else ""
        yield (
            "**This round's policy was not adopted**: on the dev prompts the teacher did not "
            f"prefer it to the one before{rate}."
        )
        yield ""
    found = entry.policy
    if found is None:
        yield "This round was not evaluated: nothing is known of its answers."
        return
    n = found.wins + found.ties + found.losses
    config = exported.summary.config
    teacher = f"the teacher ({shown(config['teacher']['model'])})"
    named = {"teacher": teacher, "oracle": "the exact oracle of the embedded world"}
    judge = named.get(found.judge, called(found.judge))
    yield (
        f"Win rate over the base policy: **{percent(found.win_rate)}** (95 % interval "
        f"{interval(found.ci95)}), ties counting half, on {n:,} held-out prompts: {found.wins:,} "
        f"won, {found.ties:,} tied, {found.losses:,} lost. Judged by {judge}. No change would be "
        f"{percent(0.5)}."
    )
    unclear = ["By this measure it cannot be told apart from the base."]
    unclear *= found.ci95[0] <= 0.5 <= found.ci95[1]
    for said in (*unclear, *sentences(found), *[PLEASED] * only_teacher(found, config)):
        yield from ("", said)
    if len(found.by_dataset) > 1:
        yield from ("", "| data set | win rate | 95 % interval | prompts |", "|---|---|---|---|")
        for name, one in found.by_dataset.items():
            cells = (_cell(name), percent(one.win_rate), interval(one.ci95), f"{one.n:,}")
            yield f"| {' | '.join(cells)} |"


def _agreement(summary: Summary) -> Iterator[str]:
    kept = [entry.student for entry in summary.rounds if entry.student.adopted]
    student = kept[-1] if kept else summary.rounds[-1].student
    if student.agreement_after is None:
        yield "Its agreement with the judge was not measured."
        return
    ends = f" (95 % interval {interval(student.ci95_after)})" if student.ci95_after else ""
    yield (
        f"On {student.pairs:,} held-out pairs of answers it prefers the one that the judge "
        f"prefers in **{percent(student.agreement_after)}**{ends}; before distillation in "
        f"{percent(student.agreement_before)}."
    )
    if student.longer_baseline is not None:
        yield f"The rule “the longer answer is better” gets {percent(student.longer_baseline)}."


def _warnings(exported: Exported) -> Iterator[str]:
    last = exported.entry.round if exported.entry else rounds_done(exported.summary)
    found = [one for one in whole(exported.summary).warnings if min(one.rounds, default=0) <= last]
    if exported.kind == "student":
        found = [one for one in found if one.section != "drift"]  # of the policy
    if found:
        yield "## Warnings"
        yield ""
        for one in found:
            yield f"- {one.text}"
        yield ""


def _making(exported: Exported) -> Iterator[str]:
    summary, config = exported.summary, exported.summary.config
    rows: list[tuple[str, str]] = [("run", f"{summary.run}, seed {summary.seed}")]
    if exported.kind == "student":
        training = config["student"]
        rows += [("student before", shown(training["model"])), ("judge", _teacher(summary))]
    else:
        training = config["policy"]
        rows += [
            ("base policy", shown(training["model"])),
            ("base's files", exported.base_digest or "unknown"),
        ]
        others = {name: config.get(name, {}).get("model") for name in ("teacher", "student")}
        rows += [(name, shown(model)) for name, model in others.items() if model]
        rows += [("rounds", ", ".join(map(_round, summary.rounds)))] if summary.rounds else []
    known = ("method", "losses", "beta", "learning_rate", "epochs", "batch_size", "max_length")
    rows += [(name.replace("_", " "), _value(training[name])) for name in known if name in training]
    rows += [
        ("this artifact", exported.digest),
        ("recipe", summary.config_digest),
        ("versions", ", ".join(f"{name} {v}" for name, v in summary.versions.items())),
    ]
    yield "## How it was made"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {name} | {_cell(value)} |"
    yield ""


def _round(entry: Round) -> str:
    state = "" if entry.adopted else ", not adopted"
    return f"{entry.round} ({entry.ledger.trained:,} pairs{state})"


def _data(exported: Exported) -> Iterator[str]:
    path = exported.summary.config.get("prompts", {}).get("path")
    yield "## Data"
    yield ""
    if path is None:
        yield "Recorded answers and judgments, from files of the user."
    elif path == WORLD:
        yield "Prompts: of tsalign's embedded world."
    else:
        yield f"Prompts: {shown(path)}."
    yield "The tables of prompts and of labelled pairs, by their content:"
    yield ""
    yield "| table | rows | digest |"
    yield "|---|---|---|"
    for name, rows, digest in exported.tables:
        yield f"| {_cell(name)} | {'–' if rows is None else f'{rows:,}'} | {digest} |"
    yield ""


def _loading(exported: Exported) -> Iterator[str]:
    yield "## How to load it"
    yield ""
    yield "```python"
    yield from _snippet(exported)
    yield "```"
    yield ""
    if exported.kind == "student":
        return
    name, run = exported.repository or ".", exported.summary.run
    yield "With vLLM, an OpenAI-compatible server:"
    yield ""
    yield "```"
    if exported.kind == "adapter":
        yield f"vllm serve {_base_name(exported)} --enable-lora --lora-modules {run}={name}"
    else:
        yield f"vllm serve {name} --served-model-name {run}"
    yield "```"
    yield ""


def _snippet(exported: Exported) -> Iterator[str]:
    name = exported.repository or "."
    what = "its name on the hub" if exported.repository else "this folder"
    trusted = ", trust_remote_code=True" if exported.trust_remote_code else ""
    if exported.kind == "student":
        yield "from transformers import AutoModelForSequenceClassification, AutoTokenizer"
        yield ""
        yield f'name = "{name}"  # {what}'
        yield f"tokenizer = AutoTokenizer.from_pretrained(name{trusted})"
        yield f"model = AutoModelForSequenceClassification.from_pretrained(name{trusted}).eval()"
        yield 'prompt, answer = "What is 12 plus 30?", "It is 42."'
        if exported.segments:
            yield 'inputs = tokenizer(prompt, answer, return_tensors="pt")'
        else:
            yield "messages = ["
            yield '    {"role": "user", "content": prompt},'
            yield '    {"role": "assistant", "content": answer},'
            yield "]"
            yield "text = tokenizer.apply_chat_template(messages, tokenize=False)"
            yield 'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")'
        yield "print(model(**inputs).logits[0, 0].item())  # its reward: more is better"
        return
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    if exported.kind == "adapter":
        yield "from peft import PeftModel"
    yield ""
    yield f'name = "{name}"  # {what}'
    yield f"tokenizer = AutoTokenizer.from_pretrained(name{trusted})"
    if exported.kind == "adapter":
        yield f'base = "{_base_name(exported)}"  # the policy that the run began with'
        yield f"model = AutoModelForCausalLM.from_pretrained(base{trusted})"
        yield "model = PeftModel.from_pretrained(model, name)"
    else:
        yield f"model = AutoModelForCausalLM.from_pretrained(name{trusted})"
    yield 'messages = [{"role": "user", "content": "What is 12 plus 30?"}]'
    yield "inputs = tokenizer.apply_chat_template("
    yield '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"'
    yield ")"
    yield f"output = model.generate(**inputs, {_decoding(exported)})"
    yield 'answer = output[0, inputs["input_ids"].shape[1] :]'
    yield "print(tokenizer.decode(answer, skip_special_tokens=True))"


def _decoding(exported: Exported) -> str:
    evaluate = exported.summary.config.get("evaluate", {})
    temperature = evaluate.get("temperature", 0.7)
    sampled = f"do_sample=True, temperature={temperature}" if temperature else "do_sample=False"
    length = exported.summary.config.get("generate", {}).get("max_tokens", 512)
    stop = f", eos_token_id={list(exported.stop_ids)}" if exported.stop_ids else ""
    return f"{sampled}, max_new_tokens={length}{stop}"


def _base_name(exported: Exported) -> str:
    base = exported.summary.config["policy"]["model"]
    return base if is_hub_id(base) else "path/to/the/base"


def _licence(exported: Exported) -> Iterator[str]:
    yield "## Licence"
    yield ""
    files = ", ".join(exported.licence_files)
    if exported.licence:
        yield f"The base's card says: {exported.licence}."
    if files:
        yield f"Copied from the base's folder: {files}."
    if _base_of(exported) in (WORLD, SMALL):
        yield "The base was made from scratch by tsalign; no licence of another model applies."
    elif not exported.licence and not files:
        yield "The base's folder says nothing of a licence; what applies to it applies here."


def _value(value: Any) -> str:
    if isinstance(value, dict):  # losses by name
        return ", ".join(f"{name} {loss['weight']:g}" for name, loss in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """Text that keeps to its cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
