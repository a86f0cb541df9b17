"""The kinds of instruction that prompts are made with, in our own words, and which go together.

The names and arguments are IFEval's, so that its checkers read them. Two of its 25 kinds are not
made: the language of the answer (the model that these prompts are made for knows English), and one
of three fixed sentences as the answer (which says nothing on a task).
"""

from data.instructed import content, form
from data.instructed.drawn import Draw

KINDS: dict[str, Draw] = {
    "punctuation:no_comma": form.no_comma,
    "change_case:english_lowercase": form.lowercase,
    "change_case:english_capital": form.capital,
    "change_case:capital_word_frequency": form.capital_words,
    "detectable_format:number_bullet_lists": form.bullets,
    "detectable_format:number_highlighted_sections": form.highlights,
    "detectable_format:multiple_sections": form.sections,
    "detectable_format:title": form.title,
    "detectable_format:json_format": form.json_format,
    "detectable_content:number_placeholders": content.placeholders,
    "detectable_content:postscript": content.postscript,
    "startend:end_checker": content.end_phrase,
    "startend:quotation": form.quotation,
    "keywords:existence": content.keywords,
    "keywords:frequency": content.frequency,
    "keywords:forbidden_words": content.forbidden,
    "keywords:letter_frequency": content.letters,
    "length_constraints:number_words": form.words,
    "length_constraints:number_sentences": form.sentences,
    "length_constraints:number_paragraphs": form.paragraphs,
    "length_constraints:nth_paragraph_first_word": form.first_word,
    "combination:two_responses": form.two_responses,
    "combination:repeat_prompt": content.repeat,
}

# Never trained on: chosen before any model was measured, some easy and some hard, some akin to a
# kind that is trained and some not. docs/instructions.md says why each.
HELD_OUT = (
    "keywords:letter_frequency",
    "length_constraints:number_sentences",
    "detectable_format:title",
    "change_case:english_capital",
    "detectable_format:multiple_sections",
    "combination:two_responses",
)
TRAINED = tuple(kind for kind in KINDS if kind not in HELD_OUT)

# Kinds by which others can still be followed: the rest of its row excludes each other. What is
# missing here goes with everything but what another row excludes.
_ONLY_WITH = {
    "detectable_format:json_format": (
        "keywords:existence",
        "keywords:forbidden_words",
        "keywords:letter_frequency",
        "change_case:english_lowercase",
    ),
    "combination:two_responses": (
        "keywords:existence",
        "keywords:forbidden_words",
        "detectable_format:title",
        "punctuation:no_comma",
    ),
    "combination:repeat_prompt": (
        "keywords:existence",
        "startend:end_checker",
        "detectable_content:number_placeholders",
        "detectable_content:postscript",
        "detectable_format:number_bullet_lists",
        "detectable_format:number_highlighted_sections",
        "punctuation:no_comma",
    ),
}
_NOT_WITH = {
    "change_case:english_lowercase": (
        "change_case:english_capital",
        "change_case:capital_word_frequency",
        "detectable_content:postscript",
        "startend:end_checker",
        "detectable_format:multiple_sections",
    ),
    "change_case:english_capital": (
        "change_case:capital_word_frequency",
        "startend:end_checker",
        "detectable_format:multiple_sections",
    ),
    "change_case:capital_word_frequency": (
        "detectable_content:postscript",
        "detectable_format:multiple_sections",
    ),
    "startend:end_checker": ("detectable_content:postscript", "startend:quotation"),
    "startend:quotation": ("detectable_format:title",),
    "detectable_format:number_bullet_lists": (
        "detectable_format:number_highlighted_sections",
        "length_constraints:number_paragraphs",
        "length_constraints:nth_paragraph_first_word",
        "length_constraints:number_sentences",
    ),
    "length_constraints:number_paragraphs": (
        "length_constraints:nth_paragraph_first_word",
        "detectable_format:number_highlighted_sections",
        "detectable_format:multiple_sections",
    ),
    "length_constraints:nth_paragraph_first_word": (
        "detectable_content:postscript",
        "detectable_format:multiple_sections",
        "detectable_format:title",
    ),
    "length_constraints:number_words": (
        "length_constraints:number_sentences",
        "keywords:letter_frequency",
    ),
    "length_constraints:number_sentences": (
        "length_constraints:number_paragraphs",
        "length_constraints:nth_paragraph_first_word",
        "detectable_format:multiple_sections",
        "detectable_content:postscript",
    ),
}


def go_together(one: str, other: str) -> bool:
    """Whether two kinds can be asked for in one prompt."""
    if one == other:
        return False
    for left, right in ((one, other), (other, one)):
        if left in _ONLY_WITH and right not in _ONLY_WITH[left]:
            return False
        if right in _NOT_WITH.get(left, ()):
            return False
    return True
