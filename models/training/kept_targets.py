"""TARGETS in memory as flat arrays: six bytes for each kept token, and no Python object of any."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from transformers import PreTrainedModel

from data.errors import InputError
from data.table_file import Sliced
from models.chat import Tokenizer
from models.next_tokens import words_of

_AT_A_TIME = 256  # rows, a group on disk


class KeptTargets:
    """The targets of many completions, looked up by the number of their row."""

    def __init__(self, tables: Sequence[Sliced]) -> None:
        """Reads the lists some rows at a time; rows are numbered through all tables."""
        parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _KINDS}
        lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
        owners: list[str] = []
        for part in chain.from_iterable(map(_parts, tables)):
            owners += part["prompt_id"].to_pylist()
            for name, kind in _KINDS.items():
                for chunk in part[name].chunks:
                    parts[name].append(chunk.flatten().to_numpy(zero_copy_only=False).astype(kind))
            counted = pc.fill_null(pc.list_value_length(part["token_ids"]), 0)
            lengths.append(counted.to_numpy().astype(np.int64))
        self.owners = owners  # the prompt of every row
        empty = {name: np.zeros(0, kind) for name, kind in _KINDS.items()}
        self._flat = {name: np.concatenate([empty[name], *found]) for name, found in parts.items()}
        self._ends = np.cumsum(np.concatenate(lengths))
        tokens = int(self._ends[-1])
        self.k = len(self._flat["top_ids"]) // tokens if tokens else 0
        for name in ("top_ids", "top_logps"):
            self._flat[name] = self._flat[name].reshape(tokens, self.k)

    def tokens(self, row: int) -> list[int]:
        """Token ids of a completion; none where the teacher could not read it."""
        found: list[int] = self._flat["token_ids"][self._places(row)].tolist()
        return found

    @property
    def largest(self) -> int:
        """The largest id that is kept; -1: there is none."""
        return int(self._flat["top_ids"].max(initial=-1))

    def of(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """top_ids (positions, k), top_logps (positions, k), rest (positions,) of these completions,
        one behind the other."""
        names = ("top_ids", "top_logps", "rest")
        places = [self._places(row) for row in rows]
        found = {n: np.concatenate([self._flat[n][place] for place in places]) for n in names}
        made = {name: torch.from_numpy(values) for name, values in found.items()}
        return made | {"top_ids": made["top_ids"].long()}

    def digest_parts(self) -> list[npt.NDArray[np.generic]]:
        """What a training on them depends on."""
        return [self._flat[name] for name in _KINDS]

    def _places(self, row: int) -> slice:
        return slice(int(self._ends[row]), int(self._ends[row + 1]))


def digest_of(*kept: KeptTargets) -> str:
    """Of all that a training on these targets depends on."""
    content = hashlib.sha256()
    for array in chain.from_iterable(one.digest_parts() for one in kept):
        content.update(array.view(np.uint8).data)
    return content.hexdigest()


def shared_words(kept: KeptTargets, tokenizer: Tokenizer, model: PreTrainedModel) -> int:
    """Ids that the policy's tokenizer has. Raises InputError where the targets name others."""
    words = words_of(tokenizer, model.get_output_embeddings().weight.shape[0])
    if kept.largest >= words:
        raise InputError(
            f"policy.model: has {words} tokens, and the teacher's targets name id {kept.largest}; "
            "teacher and policy must have the same vocabulary, and where the embeddings of the "
            "teacher are padded vLLM may keep their padding: use teacher.engine: transformers"
        )
    return words


def _parts(table: Sliced) -> Iterator[pa.Table]:
    lists = table.select(["prompt_id", *_KINDS])
    return (lists.slice(start, _AT_A_TIME) for start in range(0, len(table), _AT_A_TIME))


_KINDS: dict[str, type[np.generic]] = {
    "token_ids": np.int32,
    "rest": np.float32,
    "top_ids": np.int32,
    "top_logps": np.float16,
}
