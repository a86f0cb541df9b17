"""Instructions on what an answer has in it: words and letters, and what it begins or ends with."""

from random import Random

from data.instructed.drawn import RELATIONS, Drawn, Words, number

WANTED = (
    "morning simple friend water plan together garden window music paper journey quiet story "
    "market winter kitchen travel bright letter river moment street idea answer family corner "
    "evening coffee teacher bridge season picture lesson smile promise bicycle blanket lantern "
    "mountain village pocket harbor whisper gentle honest patient fresh colorful familiar borrow "
    "share remember notice wander collect discover prepare celebrate"
).split()
UNWANTED = (
    "important great good make help also very really always need time people best new many enjoy "
    "first start day way well know want ensure provide different feel life world sure perfect"
).split()
# None of these has an unwanted word, which may be forbidden beside them.
ENDINGS = (
    "That is all I have to tell.",
    "Tell me how it goes.",
    "Now it is your turn.",
    "And that is the whole story.",
    "I hope this answers it.",
    "See you next week.",
    "Thanks for reading this far.",
    "There is no more to say about it.",
    "Take it one step after the other.",
    "Write back whenever you like.",
)


def _quoted(words: list[str]) -> str:
    shown = [f'"{word}"' for word in words]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _free(pool: list[str], taken: Words) -> list[str]:
    """Words of which none is part of a taken one, or the other way round."""
    return [word for word in pool if not any(word in one or one in word for one in taken)]


def placeholders(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(1, 3)
    shown = number(rng, n)
    s = "" if n == 1 else "s"
    return Drawn(
        {"num_placeholders": n},
        rng.choice(
            (
                f"Leave {shown} blank{s} or more to fill in, in square brackets such as [name].",
                f"Use at least {shown} placeholder{s} like [date] or [place].",
                f"Have {shown} or more spot{s} for details in brackets, for example [time].",
            )
        ),
    )


def postscript(rng: Random, taken: Words, task: str) -> Drawn:
    mark = rng.choice(("P.S.", "P.P.S"))
    return Drawn(
        {"postscript_marker": mark},
        rng.choice(
            (
                f"Close with a postscript that starts with {mark}",
                f"Add a last line after everything else, beginning with {mark}",
                f"Below your text put a postscript marked {mark}",
            )
        ),
    )


def end_phrase(rng: Random, taken: Words, task: str) -> Drawn:
    phrase = rng.choice(ENDINGS)
    return Drawn(
        {"end_phrase": phrase},
        rng.choice(
            (
                f'The very last words must be "{phrase}"',
                f'Finish with "{phrase}" and write nothing after it.',
                f'End on exactly this sentence: "{phrase}"',
                f'Your closing line is "{phrase}" and nothing follows it.',
            )
        ),
    )


def keywords(rng: Random, taken: Words, task: str) -> Drawn:
    words = sorted(rng.sample(_free(WANTED, taken), rng.randint(1, 3)))
    shown = _quoted(words)
    s = "" if len(words) == 1 else "s"
    return Drawn(
        {"keywords": words},
        rng.choice(
            (
                f"Work in the word{s} {shown}.",
                f"Use {shown} somewhere.",
                f"The text has to mention {shown}.",
                f"Make sure that {shown} can be found in it.",
            )
        ),
    )


def frequency(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    # A word that would hardly come up is easily used less than so often.
    word = rng.choice(_free(WANTED if relation == "at least" else UNWANTED, taken))
    n = rng.randint(2, 3)
    shown = number(rng, n)
    if relation == "at least":
        text = rng.choice(
            (
                f'Let the word "{word}" come up {shown} times or more.',
                f'Say "{word}" at least {shown} times.',
                f'Repeat the word "{word}" so that it is there {shown} or more times.',
            )
        )
    else:
        text = rng.choice(
            (
                f'Use the word "{word}" fewer than {shown} times.',
                f'"{word}" has to come up less than {shown} times.',
            )
        )
    return Drawn({"relation": relation, "keyword": word, "frequency": n}, text)


def forbidden(rng: Random, taken: Words, task: str) -> Drawn:
    words = sorted(rng.sample(_free(UNWANTED, taken), rng.randint(1, 3)))
    shown = _quoted(words)
    s = "" if len(words) == 1 else "s"
    return Drawn(
        {"forbidden_words": words},
        rng.choice(
            (
                f"Avoid the word{s} {shown}.",
                f"Do without the word{s} {shown}.",
                f"Never say {shown}.",
                f"Find other ways to put it than with {shown}.",
            )
        ),
    )


def letters(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    if relation == "at least":
        letter, n = rng.choice("aeiostnr"), rng.randint(8, 20)
        text = rng.choice(
            (
                f"The letter {letter} has to occur {n} or more times.",
                f'Use the letter "{letter}" at least {n} times.',
            )
        )
    else:
        letter = rng.choice([one for one in "bjkqvwxyz" if not any(one in w for w in taken)])
        n = rng.randint(2, 6)
        text = rng.choice(
            (
                f"Use the letter {letter} fewer than {n} times.",
                f'The letter "{letter}" may occur less than {n} times.',
            )
        )
    return Drawn({"let_relation": relation, "letter": letter, "let_frequency": n}, text)


def repeat(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {"prompt_to_repeat": task},
        rng.choice(
            (
                "Before you answer, copy the first sentence of this message word for word.",
                "Open with my request exactly as the first sentence has it, then carry it out.",
                "First say the first sentence again without any change, and answer it after that.",
            )
        ),
    )
