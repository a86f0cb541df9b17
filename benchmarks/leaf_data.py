"""Texts and collections for recipes/leaf.yaml, made from recorded data sets.

    python -m benchmarks.leaf_data --data ../shared/realdata --to .real/leaf

writes documents.jsonl and queries.jsonl to learn from; the collections xquad and cranfield as BEIR
has them; and stsb.csv, the test part of the STS benchmark. `--documents N` and `--queries N` keep
so many of each, drawn at random by `--seed`. Texts to learn from are sentences and passages of
several sources, without any judgment:

    documents  Cranfield's abstracts and XQuAD's paragraphs, the T0 mixture's prompts, AlpacaEval
               answers of one model, STS-B's sentences of the training part; with --apart not the
               first two, and nothing that shares eight words in a row with them
    queries    questions within these texts and those of GSM8K and AlpacaEval; STS-B's sentences

Questions of XQuAD and queries of Cranfield are never among them: they are what is tested.
"""

import argparse
import csv
import gzip
import io
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

WORDS = 100  # of a passage at most; longer texts are divided between sentences
# Cranfield's codes, 1 a complete answer to 4 of minimum interest. 5 stands where the original has
# -1, once for every query; the original counts it as a match, so it is one, of the least gain.
GAINS = {1: 4, 2: 3, 3: 2, 4: 1, 5: 1}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def read(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(path).splitlines() if line.strip()]


def passages(text: str, words: int = WORDS) -> Iterator[str]:
    """The text in parts of at most so many words, divided between sentences where it can be."""
    part: list[str] = []
    for sentence in _SENTENCE.split(" ".join(text.split())):
        new = sentence.split()
        if part and len(part) + len(new) > words:
            yield " ".join(part)
            part = []
        part += new[:words]
    if part:
        yield " ".join(part)


def questions(text: str) -> Iterator[str]:
    """Its sentences of 4 to 30 words that end with a question mark."""
    for sentence in _SENTENCE.split(" ".join(text.split())):
        if sentence.endswith("?") and 4 <= len(sentence.split()) <= 30:
            yield sentence


def cranfield(data: Path) -> tuple[dict[str, str], dict[str, str], list[tuple[str, str, int]]]:
    """Documents and queries by id, and judgments. Queries are numbered as they come in the file,
    which is how the judgments number them; a document without text is left out."""
    folder = data / "cranfield"
    documents = {}
    for entry in read(folder / "cran.all.1400.gz").split("\n.I ")[0:]:
        number = entry.removeprefix(".I ").split("\n", 1)[0].strip()
        text = " ".join(entry.split("\n.W\n", 1)[1].split()) if "\n.W\n" in entry else ""
        if text:
            documents[number] = text
    parts = read(folder / "cran.qry.gz").split("\n.W\n")[1:]
    asked = [" ".join(part.split("\n.I ")[0].split()) for part in parts]
    queries = {str(number): text for number, text in enumerate(asked, start=1)}
    judged = []
    for line in read(folder / "corrected_cranqrel.gz").splitlines():
        query, _, document, code = line.split()
        if document in documents:
            judged.append((query, document, GAINS[int(code)]))
    return documents, queries, judged


def xquad(data: Path) -> tuple[dict[str, str], dict[str, str], list[tuple[str, str, int]]]:
    """Paragraphs, questions, and to which paragraph each belongs."""
    documents, queries, judged = {}, {}, []
    for article in json.loads(read(data / "xquad_en" / "xquad.en.json.gz"))["data"]:
        for paragraph in article["paragraphs"]:
            number = str(len(documents))
            documents[number] = " ".join(paragraph["context"].split())
            for one in paragraph["qas"]:
                queries[one["id"]] = " ".join(one["question"].split())
                judged.append((one["id"], number, 1))
    return documents, queries, judged


def stsb(data: Path, part: str) -> list[tuple[str, str, str]]:
    """Sentence, sentence, score; the files have no header."""
    text = read(data / "stsb_en" / f"stsb-en-{part}.csv.gz")
    return [(row[0], row[1], row[2]) for row in csv.reader(io.StringIO(text))]


def to_learn(data: Path, apart: bool) -> tuple[list[str], list[str]]:
    """Documents and queries, each once, in the order of the sources."""
    documents: list[str] = []
    for made in () if apart else (cranfield, xquad):
        documents += [part for text in made(data)[0].values() for part in passages(text)]
    mixed = sorted((data / "t0_domain_mix" / "data_per_template").glob("*.jsonl.gz"))
    answered = json.loads(read(data / "alpacaeval_outputs" / "gpt4.json.gz"))
    long = [row["prompt"] for path in mixed for row in rows_of(path)]
    long += [row["output"] for row in answered]
    alike = [text for left, right, _ in stsb(data, "train") for text in (left, right)]
    documents += [part for text in long for part in passages(text)] + alike
    asked = [one for text in long for one in questions(text)]
    asked += [row["instruction"] for row in answered if len(row["instruction"].split()) <= 30]
    asked += [one for row in rows_of(data / "gsm8k" / "train.jsonl.gz")
              for one in questions(row["question"])]  # fmt: skip
    if apart:
        kept = {gram for made in (cranfield, xquad) for one in made(data)[0].values()
                for gram in grams(one)}  # fmt: skip
        documents = [one for one in documents if not grams(one) & kept]
    tested = set(xquad(data)[1].values()) | set(cranfield(data)[1].values())
    return _each_once(documents, set()), _each_once(asked + alike, tested)


def grams(text: str) -> set[tuple[str, ...]]:
    """Its eight words in a row, in lower case."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[k : k + 8]) for k in range(len(words) - 7)}


def _each_once(texts: Iterable[str], without: set[str]) -> list[str]:
    return [text for text in dict.fromkeys(map(str.strip, texts)) if text and text not in without]


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_collection(
    folder: Path,
    documents: dict[str, str],
    queries: dict[str, str],
    judged: list[tuple[str, str, int]],
) -> None:
    for name, texts in (("corpus", documents), ("queries", queries)):
        write_rows(folder / f"{name}.jsonl", ({"_id": k, "text": v} for k, v in texts.items()))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, one)) for one in judged)]
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_all(data: Path, to: Path, *, apart: bool, limits: dict[str, int], seed: int) -> None:
    """Everything that recipes/leaf.yaml names."""
    for name, made in (("xquad", xquad), ("cranfield", cranfield)):
        write_collection(to / name, *made(data))
    with (to / "stsb.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence1", "sentence2", "score"])
        writer.writerows(stsb(data, "test"))
    for side, texts in zip(("documents", "queries"), to_learn(data, apart), strict=True):
        chosen = random.Random(seed).sample(texts, min(limits[side] or len(texts), len(texts)))
        write_rows(to / f"{side}.jsonl", ({"text": text} for text in chosen))
        words = sum(len(text.split()) for text in chosen)
        print(f"{side}: {len(chosen):,} of {len(texts):,}, {words:,} words")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/realdata"))
    parser.add_argument("--to", type=Path, default=Path(".real/leaf"))
    parser.add_argument("--documents", type=int, default=0, help="at most so many; 0: all")
    parser.add_argument("--queries", type=int, default=0, help="at most so many; 0: all")
    parser.add_argument("--apart", action="store_true", help="no document of the collections")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    limits = {"documents": given.documents, "queries": given.queries}
    write_all(given.data, given.to, apart=given.apart, limits=limits, seed=given.seed)


if __name__ == "__main__":
    main()
