"""A teacher behind a server, which reads the answers that it is sent.

Of the model's folder here only the tokenizer and config.json are read: prompts are rendered here,
and sent as token ids.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer
from models.checkpoints import read_config, readable_length
from models.engines.base import OnProgress
from models.engines.prompt_reader import PromptReader
from models.next_tokens import words_of
from models.served import Served
from models.teacher import Ids, Items, Targets, readable


class ServedTeacher:
    """The model of a server, asked for the `k` most likely tokens."""

    def __init__(
        self, model_dir: Path, runtime: RuntimeConfig, max_length: int, k: int, served: Served
    ) -> None:
        """`max_length`: of a prompt with its completion, in tokens. Raises InputError where the
        server cannot be asked."""
        self._field = served.field
        self._tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
        rows = read_config(model_dir, served.field).get("vocab_size")
        self._k = min(k, words_of(self._tokenizer, rows or len(self._tokenizer)))
        self._reader = PromptReader(served)
        try:
            longest = self._reader.longest() or max_length + 1  # it adds a token
            self._limit = readable_length(model_dir, min(max_length + 1, longest)) - 1
        except BaseException:
            self.close()
            raise

    def targets(
        self,
        items: Items,
        k: int,
        temperature: float,
        at: Sequence[Ids] | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Targets | None]:
        """As those of Teacher; the rest is one less the kept, to some 1e-6."""
        if at is not None or temperature != 1:
            raise InputError(
                f"{self._field}: a server gives its most likely tokens at temperature 1 alone; "
                "name a teacher that is here"
            )
        pairs, places = readable(self._tokenizer, items, self._limit, words_of(self._tokenizer))
        found: list[Targets | None] = [None] * len(pairs)
        asked = [pairs[place] for place in places]
        made = self._reader.read(asked, min(k, self._k), on_progress)
        for place, (_, answer), one in zip(places, asked, made, strict=True):
            rest = 1 - np.exp(one.top_logps.astype(np.float64)).sum(1)
            found[place] = Targets(
                token_ids=np.array(answer, np.int32),
                logps=one.logps,
                rest=rest.clip(min=0).astype(np.float32),
                top_ids=one.top_ids,
                top_logps=one.top_logps,
            )
        return found

    def close(self) -> None:
        self._reader.close()
