"""Real texts of several domains, to distil over: recipes/real_domains.yaml.

    python -m benchmarks.real_domains [--data ../shared/realdata] [--to .real/domains.jsonl]
    python -m benchmarks.real_domains --pool-of RECIPE --to .real/domain_prompts.jsonl

The second command writes the prompts of those texts that a recipe of domains does not hold out,
for recipes/real_opd.yaml. The first writes rows of prompt, completion and dataset. Domains,
`--texts` of each at most, drawn at random by `--seed`:

    math       GSM8K: word problems and their solutions
    summary    T0: news and dialogues, and what they say in short
    reading    T0: questions about a passage
    dialogue   HH-RLHF: the last turn that was preferred (offensive texts among them)
    german     XQuAD: a sentence of a paragraph, and how it goes on
    code       functions of Python's standard library on this machine: head and body

Parts of one paragraph or file may be in training and test alike.
"""

import argparse
import ast
import json
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.leaf_data import read, rows_of
from data.errors import InputError
from data.readers.texts import parted, read_texts
from data.recipes.config import WORLD
from flows.ddk.recipe import DdkRecipe
from flows.recipe_files import load_recipe

CHARACTERS = 900  # of prompt and answer together at most
T0 = {
    "summary": (
        "cnn_dailymail_3_0_0_news_summary",
        "gigaword_make_a_title",
        "multi_news_summarize",
        "samsum_Summarize_this_dialogue_",
        "xsum_summarize_DOC",
    ),
    "reading": (
        "adversarial_qa_dbert_based_on",
        "cosmos_qa_context_question_description_text",
        "duorc_SelfRC_answer_question",
        "quoref_Answer_Question_Given_Context",
        "sciq_Direct_Question",
    ),
}
MODULES = (
    "argparse ast calendar csv difflib fractions gzip heapq inspect ipaddress pathlib random "
    "shutil statistics string tarfile textwrap"
).split()
_TURN = re.compile(r"\n\n(Human|Assistant): ")

Row = dict[str, Any]


def math(data: Path) -> Iterator[tuple[Any, str]]:
    for row in rows_of(data / "gsm8k" / "train.jsonl.gz"):
        yield row["question"], re.sub(r"<<.*?>>", "", row["answer"])


def t0(data: Path, domain: str) -> Iterator[tuple[Any, str]]:
    for name in T0[domain]:
        for row in rows_of(data / "t0_domain_mix" / "data_per_template" / f"{name}.jsonl.gz"):
            yield row["prompt"].strip(), row["completion"].removesuffix("<|endoftext|>").strip()


def dialogue(data: Path) -> Iterator[tuple[Any, str]]:
    roles = {"Human": "user", "Assistant": "assistant"}
    for row in rows_of(data / "hh_rlhf" / "harmless-base_test.jsonl.gz"):
        parts = _TURN.split(row["chosen"])[1:]
        turns = [
            {"role": roles[who], "content": said.strip()}
            for who, said in zip(parts[::2], parts[1::2], strict=True)
        ]
        alternate = [one["role"] for one in turns] == ["user", "assistant"] * (len(turns) // 2)
        if turns and alternate:
            yield turns[:-1], turns[-1]["content"]


def german(data: Path) -> Iterator[tuple[Any, str]]:
    for article in json.loads(read(data / "xquad_en" / "xquad.de.json.gz"))["data"]:
        for paragraph in article["paragraphs"]:
            sentences = re.split(r"(?<=[.!?])\s+", paragraph["context"])
            for at in range(0, len(sentences) - 2, 3):  # several continuations of a paragraph
                asked, said = sentences[at], " ".join(sentences[at + 1 : at + 3])
                yield f"Wie geht dieser Text weiter? {asked}", said


def code(_: Path) -> Iterator[tuple[Any, str]]:
    library = Path(sysconfig.get_paths()["stdlib"])
    for name in MODULES:
        text = (library / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and len(node.body) > 1:
                whole = (ast.get_source_segment(text, node) or "").split("\n")
                start = node.body[0].lineno - node.lineno
                head, body = "\n".join(whole[:start]), "\n".join(whole[start:])
                if start and body.strip():
                    yield f"Write the body of this Python function of {name}.\n\n{head}", body


def texts(data: Path, domain: str) -> Iterator[tuple[Any, str]]:
    """Prompts and answers of a domain."""
    if domain in T0:
        return t0(data, domain)
    return {"math": math, "dialogue": dialogue, "german": german, "code": code}[domain](data)


DOMAINS = ("math", "summary", "reading", "dialogue", "german", "code")


def drawn(data: Path, domain: str, count: int, seed: int) -> list[Row]:
    """At most so many texts that are short enough, at random."""
    rows = [
        {"prompt": asked, "completion": said, "dataset": domain}
        for asked, said in texts(data, domain)
        if said and len(str(asked)) + len(said) <= CHARACTERS
    ]
    random.Random(f"{domain}-{seed}").shuffle(rows)
    return rows[:count]


def drawn_of_all(asked: argparse.Namespace) -> list[Row]:
    return [row for one in DOMAINS for row in drawn(asked.data, one, asked.texts, asked.seed)]


def pool_of(recipe: Path) -> list[Row]:
    """The prompts that a recipe of domains may draw, and holds none of out."""
    made = load_recipe(recipe, [])
    if not isinstance(made, DdkRecipe) or made.texts.path == WORLD:
        raise InputError(f"{recipe}: name a recipe of ddk whose texts are in a file")
    texts = read_texts(made.texts.path, made.texts.columns).table
    pool = parted(texts, made.texts.dev_size, made.texts.test_size, made.seed)["pool"]
    columns = [pool[name].to_pylist() for name in ("messages", "dataset")]
    return [{"messages": asked, "dataset": name} for asked, name in zip(*columns, strict=True)]


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_domains",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/realdata"))
    parser.add_argument("--to", type=Path, default=Path(".real/domains.jsonl"), metavar="FILE")
    parser.add_argument("--texts", type=int, default=400, help="of a domain at most")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--pool-of", type=Path, metavar="RECIPE", help="see above")
    asked = parser.parse_args()
    if asked.texts < 1:
        parser.error("--texts: must be at least 1")
    try:
        rows = pool_of(asked.pool_of) if asked.pool_of else drawn_of_all(asked)
        asked.to.parent.mkdir(parents=True, exist_ok=True)
        asked.to.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    except InputError as error:
        sys.exit(str(error))
    except (OSError, EOFError) as error:  # EOFError: a .gz that is cut off
        sys.exit(f"{error}; see --data and --to")
    for domain in DOMAINS:
        sizes = [len(row.get("completion", "")) for row in rows if row["dataset"] == domain]
        learned = "" if asked.pool_of else f", {sum(sizes):,} characters to learn"
        sys.stdout.write(f"{domain}: {len(sizes)} texts{learned}\n")


if __name__ == "__main__":
    main()
