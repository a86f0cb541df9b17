"""Words that were added to a tokenizer for another model: for this one they are text.

Models of a family often share a tokenizer, and some of its added words have no embedding in the
smaller or older ones. A text that holds such a word by chance would end whatever reads it.
"""

import json
import math
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from models.checkpoints import read_config


def drop_foreign_words(tokenizer: Any, model_dir: str | Path) -> None:
    """Have the tokenizer read added words for which the model has no embedding as ordinary text.

    Control tokens stay, and then all do: texts cannot name them (`models.special_text`), and where
    the chat template writes one preflight refuses the model.
    """
    backend, folder = getattr(tokenizer, "backend_tokenizer", None), Path(model_dir)
    if backend is None or not (folder / "config.json").is_file():
        return
    rows = read_config(folder).get("vocab_size") or math.inf  # preflight compares the weights'
    beyond = [token for number, token in tokenizer.added_tokens_decoder.items() if number >= rows]
    template = str(tokenizer.chat_template or "")
    if not beyond or any(token.special or token.content in template for token in beyond):
        return
    state = json.loads(backend.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < rows]
    tokenizer._tokenizer = Backend.from_str(json.dumps(state))
