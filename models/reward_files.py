"""What a folder that judges is, and whether it is in order: read from its files without weights.

A reward model is a sequence classifier with one label, or a language model that rewards by its
likelihood; a language model without `implicit_reward.json` compares two answers.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import InputError
from models.checkpoints import (
    architecture,
    check_embeddings,
    is_causal,
    own_config,
    read_config,
    weight_shapes,
)

IMPLICIT = "implicit_reward.json"  # beside a language model that rewards by its likelihood
REFERENCE = "reference"  # folder in it of the model whose log-likelihood is taken off
_CLASSIFIER = "ForSequenceClassification"
_HEADS = {"score", "classifier", "classification_head"}  # as decoders and encoders call them


def is_implicit(model_dir: Path) -> bool:
    """Whether it is a language model that rewards by its likelihood (`models.implicit`)."""
    return (Path(model_dir) / IMPLICIT).is_file()


def compares(model_dir: Path, field: str = "model") -> bool:
    """Whether it judges by saying which of two answers is better: a language model.

    Raises InputError without config.json.
    """
    return is_causal(model_dir, field) and not is_implicit(model_dir)


def lacks_head(model_dir: Path, field: str = "model") -> bool:
    """Whether it is no classifier by its config.json, such as a plain encoder.

    One with code of its own may call its classes anything. Raises InputError without config.json.
    """
    own_code = "auto_map" in own_config(model_dir, field)
    return not (architecture(model_dir, field).endswith(_CLASSIFIER) or own_code)


def check_headless(model_dir: Path, field: str) -> None:
    """InputError unless a head can be put on the model, which has none."""
    name = architecture(model_dir, field)
    if is_implicit(model_dir):
        raise InputError(
            f"{field}: '{model_dir}' rewards by its likelihood ({IMPLICIT}), which is not trained "
            "here; remove that file to put a head on the model, or name a sequence classifier"
        )
    if own_config(model_dir, field).get("is_encoder_decoder"):
        raise InputError(
            f"{field}: '{model_dir}' is a {name}, an encoder with a decoder, not a reward model, "
            "and is given no head here; name a sequence classifier with one label, or an encoder"
        )
    shapes = weight_shapes(model_dir, field)
    if any(_HEADS & set(tensor.split(".")) for tensor in shapes):
        raise InputError(
            f"{field}: '{model_dir}' is a {name}, not a reward model, by its config.json, and has "
            "a classification head in its weights; save configuration and weights together"
        )
    check_embeddings(model_dir, field)


def check_reward_model(model_dir: Path, field: str = "model") -> None:
    """InputError unless the model has one label and its head's weights, read without loading it.

    A model without head weights would be given a random head and score at random.
    """
    if is_implicit(model_dir):
        check_implicit(Path(model_dir), field)
        return
    config, name = own_config(model_dir, field), architecture(model_dir, field)
    if lacks_head(model_dir, field):
        raise InputError(
            f"{field}: '{model_dir}' is a {name}, not a reward model: it has no head, and "
            "one made up here would judge nothing; name a sequence classifier with one label"
        )
    known = config.get("id2label")
    labels = config.get("num_labels", 2) if known is None else len(known)
    if labels != 1:
        raise InputError(
            f"{field}: '{model_dir}' ({name}) has {labels} labels, a reward model has one; "
            "train it with num_labels=1"
        )
    if not any(_is_head(*tensor) for tensor in weight_shapes(model_dir, field).items()):
        raise InputError(
            f"{field}: '{model_dir}' has no classification head (score or classifier) in its "
            "weights; save the head with the model"
        )
    check_embeddings(model_dir, field)


class ImplicitReward(BaseModel):
    """What `implicit_reward.json` holds; see `models.implicit`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    beta: float = Field(1.0, gt=0)
    per_token: bool = False


def implicit_reward(model_dir: Path, field: str = "model") -> ImplicitReward:
    """The folder's settings. Raises InputError for a file that holds something else."""
    path = Path(model_dir) / IMPLICIT
    try:
        return ImplicitReward.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"])) or "the file"
        raise InputError(
            f"{field}: '{path}': {place}: {found['msg']}; write beta, a number above 0, and "
            "per_token, true or false"
        ) from error


def check_implicit(folder: Path, field: str) -> None:
    """InputError unless it and its reference, if it has one, are language models of one vocabulary.

    And unless its settings can be read.
    """
    implicit_reward(folder, field)
    sizes = {}
    for part in (folder, folder / REFERENCE):
        if part == folder or part.is_dir():
            if not is_causal(part, field):
                raise InputError(
                    f"{field}: '{part}' is a {architecture(part, field)} and not a language model, "
                    f"whose likelihood {IMPLICIT} makes a reward; remove that file, or name a "
                    "causal language model"
                )
            check_embeddings(part, field)
            sizes[part] = read_config(part, field).get("vocab_size")
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"{field}: '{folder}' has {sizes[folder]} words and its reference "
            f"{sizes[folder / REFERENCE]}; a reference reads the same tokens"
        )


def _is_head(name: str, shape: tuple[int, ...]) -> bool:
    """One output row, under the name decoders (`score`) or encoders (`classifier`) give it."""
    return shape[:1] == (1,) and bool(_HEADS & set(name.split(".")))
