"""Rationales in two further styles for the worked examples of three BBH tasks, written for
`benchmarks.rationales`: by task, in the order of the examples in BBH's chain-of-thought prompts.

`brief` is one sentence of reason, `points` are numbered steps; both are right.
"""

REWRITES: dict[str, dict[str, tuple[str, ...]]] = {
    "boolean_expressions": {
        "brief": (
            "Two nots cancel, so the inside is True, and not True is False.",
            "A chain of ands with a False in it is False, and True and False is one.",
            "The inner not turns False into True, and two more nots leave it as it is.",
        ),
        "points": (
            "1. not not True gives True.\n2. not True gives False.",
            "1. True and False gives False.\n2. not True gives False, so False and True gives "
            "False.\n3. False and False gives False.",
            "1. not False gives True.\n2. not True gives False.\n3. not False gives True.",
        ),
    },
    "navigate": {
        "brief": (
            "All steps go the same way, so one ends far from the start.",
            "Seven steps go one way and sixteen go back, which leaves nine too many.",
            "Two and seven steps to the right undo nine steps to the left.",
        ),
        "points": (
            "1. After the three turns one faces forward again.\n2. The steps are 7 + 2 + 4 + 8 = "
            "21, all forward.\n3. 21 is not 0.",
            "1. Facing back: 1 + 6 = 7 steps back.\n2. Turned around: 6 + 9 + 1 = 16 steps "
            "forward.\n3. 16 - 7 = 9 is not 0.",
            "1. Right: 2 + 7 = 9.\n2. Left: 9.\n3. 9 - 9 = 0.",
        ),
    },
    "sports_understanding": {
        "brief": (
            "A basketball player can score a layup in a basketball final.",
            "A soccer player scores goals and no touchdowns.",
            "A basketball player can be called for goaltending.",
        ),
        "points": (
            "1. Bam Adebayo plays basketball.\n2. A reverse layup is a shot in basketball.\n3. The "
            "Western Conference Finals are basketball games.",
            "1. Santi Cazorla plays soccer.\n2. A touchdown is scored in American football.\n3. "
            "These are different sports.",
            "1. DeMar DeRozan plays basketball.\n2. Goaltending is a foul in basketball.\n3. These "
            "fit together.",
        ),
    },
}
