"""What a teacher is asked, so that it writes questions and explains them (ARTE)."""

from collections.abc import Sequence

EXAMPLES = "{examples}"  # of a template for questions: where the examples stand
TASK = "{task}"
ASK = f"Write a new question of the task {TASK}, like these:{EXAMPLES}"


def asking(instruction: str, question: str) -> str:
    """What a teacher is told that shall explain a question."""
    return f"{instruction}\n{question}"


def asking_for_question(template: str, task: str, examples: Sequence[str]) -> str:
    """What a teacher is told that shall write a question; each example begins a line."""
    return template.replace(TASK, task).replace(EXAMPLES, "".join(f"\n{one}" for one in examples))
