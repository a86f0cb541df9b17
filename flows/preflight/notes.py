"""What is no error of a policy's template or of the prompts, and yet worth knowing."""

from collections.abc import Iterable, Mapping

from data.readers.seen import Prompt


def answer_notes(tokenizer: object | None) -> list[str]:
    """What text that comes from elsewhere (other models, people, files) is not under a policy."""
    if tokenizer is None:
        return []
    from models.chat import answer_change, round_trip_change

    notes = []
    change = answer_change(tokenizer)
    if change is not None:
        notes.append(
            "policy.model: the chat template adds text to an answer or changes it "
            f"({change[:60]!r}); the policy is trained on answers without that"
        )
    lost = round_trip_change(tokenizer)
    if lost is not None:
        notes.append(
            f"policy.model: the tokenizer does not give {lost!r} back as it was; the policy is "
            "trained on the tokens it sampled, but the other models read such text"
        )
    return notes


def special_notes(tokenizers: Mapping[str, object], prompts: Iterable[Prompt]) -> list[str]:
    """How many prompts hold text that a tokenizer would take for a special token, in a line."""
    from models.special_text import special_text

    found = []
    for prompt in prompts:
        texts = (special_text(tokenizer, prompt.messages) for tokenizer in tokenizers.values())
        text = next(filter(None, texts), None)
        if text:
            found.append((prompt.place, text))
    if not found:
        return []
    place, text = found[0]
    hold = "1 prompt holds" if len(found) == 1 else f"{len(found)} prompts hold"
    return [f"{hold} text of special tokens ({place}: {text!r}); it is read as plain text"]
