"""What differs between two folders of `benchmarks.golden`: contents, keys, words."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher, unified_diff
from itertools import zip_longest
from pathlib import Path
from typing import Any

Stage = dict[str, Any]
Pair = tuple[Stage | None, Stage | None]


def paired(old: list[Stage], new: list[Stage]) -> list[Pair]:
    """Calls that belong together: of equal content in the same order, then of equal content
    anywhere, then of equal kind in order. Titles and keys do not matter."""
    sides = [[(call["kind"], call["content"]) for call in side] for side in (old, new)]
    pairs: list[Pair] = []
    left_old, left_new = list(range(len(old))), list(range(len(new)))
    for block in SequenceMatcher(None, *sides, autojunk=False).get_matching_blocks():
        for i in range(block.size):
            pairs.append((old[block.a + i], new[block.b + i]))
            left_old.remove(block.a + i)
            left_new.remove(block.b + i)
    for alike in ("content", "kind"):
        for a in list(left_old):
            b = next((b for b in left_new if new[b][alike] == old[a][alike]), None)
            if b is not None:
                pairs.append((old[a], new[b]))
                left_old.remove(a)
                left_new.remove(b)
    return pairs + [(old[a], None) for a in left_old] + [(None, new[b]) for b in left_new]


def different(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, old and new value of every field in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{path}.{name}" if path else name
            yield from different(old.get(name, ...), new.get(name, ...), inner)
    elif isinstance(old, list) and isinstance(new, list):
        for place, (a, b) in enumerate(zip_longest(old, new, fillvalue=...)):
            yield from different(a, b, f"{path}[{place}]")
    elif type(old) is not type(new) or old != new:
        yield path, *("absent" if v is ... else json.dumps(v)[:200] for v in (old, new))


def rows_that_differ(old: Path, new: Path) -> str:
    """Of two tables: which columns differ and in how many rows; empty where one is gone."""
    if not (old.is_file() and new.is_file()):
        return ""
    import pyarrow.parquet as pq

    a, b = pq.read_table(old), pq.read_table(new)
    if a.num_rows != b.num_rows or a.column_names != b.column_names:
        return f" ({a.num_rows} rows of {a.column_names}, {b.num_rows} rows of {b.column_names})"
    columns = {
        name: sum(x != y for x, y in zip(a[name].to_pylist(), b[name].to_pylist(), strict=True))
        for name in a.column_names
    }
    told = ", ".join(f"{n} of {a.num_rows} in {name}" for name, n in columns.items() if n)
    return f" (rows that differ: {told or 'none, the files alone'})"


def contents(pairs: list[Pair], old: Path, new: Path) -> Iterator[str]:
    for a, b in pairs:
        if a is None or b is None:
            call, side = a or b, "gone" if a else "new"
            assert call is not None
            yield f"{side}: {call['title']} ({call['kind']})"
        elif a["content"] != b["content"]:
            names = [path for path, *_ in different(a["files"], b["files"])]
            tables = [side / "work/store" / x["place"] for side, x in ((old, a), (new, b))]
            more = rows_that_differ(*(table / "data.parquet" for table in tables))
            yield f"{a['title']} ({a['kind']}): {', '.join(names)}{more}"


def keys(pairs: list[Pair]) -> Iterator[str]:
    """Fields of keys that differ, with the number of calls and the first of them. That an input has
    another content is no other key: it is told where the content is."""
    told = {(json.dumps(a["content"]), json.dumps(b["content"])) for a, b in pairs if a and b}
    found: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], str] = {}
    for a, b in pairs:
        for change in different(a["key"], b["key"]) if a and b else ():
            if change[1:] not in told:
                found[change] += 1
                first.setdefault(change, b["title"])
    for (path, before, after), times in found.items():
        where = first[path, before, after]
        yield f"{times} x {path}: {before} -> {after} ({where}{' ...' if times > 1 else ''})"


def words(pairs: list[Pair], old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    last = -1
    for a, b in sorted((pair for pair in pairs if all(pair)), key=lambda pair: pair[1]["number"]):
        if a["number"] < last:
            yield f"stage {b['title']}: called in another order"
        last = max(last, a["number"])
    for a, b in pairs:
        for field in ("title", "kind", "counts", "meta"):
            if a and b:
                for path, before, after in different(a[field], b[field], field):
                    yield f"stage {b['title']}: {path}: {before} -> {after}"
    for path, before, after in different(old["summary"], new["summary"]):
        yield f"summary: {path}: {before} -> {after}"
    for part in ("report", "status", "files"):
        for line in unified_diff(old[part], new[part], n=0, lineterm=""):
            if not line.startswith(("---", "+++", "@@")):
                yield f"{part}: {line}"


def compare(names: Iterable[str], old: Path, new: Path) -> bool:
    """Print what differs, run by run; whether all contents are equal."""
    equal = True
    for name in names:
        a, b = (json.loads((side / f"{name}.json").read_text()) for side in (old, new))
        pairs = paired(a["stages"], b["stages"])
        groups = {
            "contents": list(contents(pairs, old, new)),
            "keys": list(keys(pairs)),
            "words": list(words(pairs, a, b)),
        }
        equal = equal and not groups["contents"]
        told = ", ".join(f"{group}: {len(lines) or 'equal'}" for group, lines in groups.items())
        sys.stdout.write(f"{name} ({len(b['stages'])} stages): {told}\n")
        for group, lines in groups.items():
            sys.stdout.writelines(f"  {group}: {line}\n" for line in lines)
    return equal
