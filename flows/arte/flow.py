"""ARTE: a teacher is aligned with its student's preferences and drafts training data again.

Liu et al., "Aligning Teacher with Student Preferences for Tailored Training Data Generation" (arXiv
2406.19227): the teacher drafts questions and rationales in several styles; what a draft is worth is
the accuracy of the student with it as the one example, on questions that an item response model has
chosen; DPO aligns the teacher with that; it drafts once more, asked without a style; the student
learns that. No code was published; docs/arte.md says what is a reconstruction.
"""

from collections.abc import Sequence

from data.recipes.config import WORLD
from data.recipes.recipe import DecodingConfig
from data.recipes.tailoring import StyleConfig
from data.store.artifacts import Artifact
from data.tailoring import Choice
from flows.adpa.flow import by_dpo
from flows.arte.recipe import ALIGNS, ArteRecipe
from flows.arte.start import gather
from flows.arte.state import Drafts, Items, Outcome, Parts, Questions, Rationales, Tailored
from flows.arte.told import told
from flows.loop.engine import settle_engine
from flows.result import Made, Result
from tasks.elicit import drafted_questions, explained, question_prompts, rationale_prompts
from tasks.fine_tune import fine_tune
from tasks.generate import generate
from tasks.items import pick_items, response_model
from tasks.one_shot import ask_after_drafts, ask_questions, grade, require_one_shot
from tasks.puzzles import grade_by_solving
from tasks.running.subflow import subflow
from tasks.stage import Model, Run
from tasks.tailor import one_shot_scores, pick_drafts, teacher_pairs

PICKS: dict[str, Choice] = {
    "original": "best",
    "random": "random",
    "fixed": "fixed",
    "style": "style",
}


class Elicitation:
    """Asks the models of a run; keeps what they have answered."""

    def __init__(self, run: Run, recipe: ArteRecipe, parts: Parts) -> None:
        self.run, self.recipe, self.parts = run, recipe, parts
        self.sampled: list[Artifact] = []

    def answers(
        self,
        model: Model,
        prompts: Artifact,
        role: str,
        *,
        k: int = 1,
        decoding: DecodingConfig | None = None,
        measures: bool = False,
    ) -> Artifact:
        """COMPLETIONS of a model, greedy ones unless it is said how."""
        found = generate.as_(role, measures=measures)(
            policy=model,
            prompts=prompts,
            k=k,
            decoding=decoding or self.recipe.answering,
            engine=self.run.engine,
            stream=role,
            seed=self.recipe.seed,
        )
        if not measures:
            self.sampled.append(found)
        return found

    def questions(self, teacher: Model, role: str) -> Questions:
        """New questions of every task, none of which is held out."""
        recipe, parts = self.recipe, self.parts
        asked = question_prompts(seeds=parts.seeds, ask=recipe.drafts.ask)
        sampled = self.answers(
            teacher,
            asked,
            f"questions {role}",
            k=recipe.generate.k,
            decoding=recipe.generate.decoding,
        )
        kept = drafted_questions.as_(role)(
            asked=asked,
            completions=sampled,
            known=[parts.seeds, parts.validation, parts.test],
            number=recipe.drafts.questions,
        )
        return Questions(asked, sampled, kept)

    def rationales(
        self, teacher: Model, questions: Artifact, styles: Sequence[StyleConfig], role: str
    ) -> Rationales:
        """Each question, explained in every style."""
        asked = rationale_prompts.as_(role)(questions=questions, styles=list(styles))
        said = self.answers(teacher, asked, f"rationales {role}")
        text = explained.as_(role)(questions=questions, asked=asked, rationales=said)
        return Rationales(asked, said, text)

    def graded(
        self, model: Model, asked: Artifact, questions: Artifact, role: str, measures: bool = False
    ) -> tuple[Artifact, Artifact]:
        """COMPLETIONS, and GRADED of these."""
        said = self.answers(model, asked, role, measures=measures)
        marked = grade.as_(role, measures=measures)(
            asked=asked, completions=said, questions=questions, marker=self.recipe.tasks.marker
        )
        return said, marked

    @property
    def naive(self) -> list[StyleConfig]:
        """Told no style."""
        return [StyleConfig(name="naive", instruction=self.recipe.drafts.naive)]


def preference_set(at: Elicitation) -> Items:
    """Validation questions that tell models apart. The student is looked at first, and refused
    where one example helps it to nothing."""
    recipe, parts = at.recipe, at.parts
    examples = at.rationales(parts.teacher, parts.seeds, at.naive, "seeds").explained
    asked = ask_questions.as_("validation")(
        questions=parts.validation, examples=examples, shots=list(recipe.items.shots)
    )
    _, of_student = at.graded(parts.student, asked, parts.validation, "zoo student")
    one_shot = require_one_shot(graded=of_student, floor=recipe.min_one_shot)
    others = [
        at.graded(model, asked, parts.validation, f"zoo {name}")[1]
        for name, model in parts.zoo.items()
    ]
    model = response_model(graded=[of_student, *others], k=recipe.items.k)
    chosen = pick_items(questions=parts.validation, items=model)
    return Items(examples, one_shot, model, chosen)


def drafted(at: Elicitation, items: Items) -> Drafts:
    """Questions in every style, scored by the student that has each as its one example."""
    recipe, parts = at.recipe, at.parts
    questions = at.questions(parts.teacher, "drafts")
    rationales = at.rationales(parts.teacher, questions.kept, recipe.drafts.styles, "drafts")
    asked = ask_after_drafts(drafts=rationales.explained, items=items.chosen, k=recipe.items.k)
    answered, marked = at.graded(parts.student, asked, items.chosen, "one shot")
    scores = one_shot_scores(drafts=rationales.explained, graded=marked)
    return Drafts(questions, rationales, answered, scores)


def aligned(at: Elicitation, drafts: Drafts) -> tuple[Artifact, Artifact]:
    """The pairs of the student's preferences, and the teacher after DPO on them."""
    recipe, (questions, rationales) = at.recipe, (drafts.questions, drafts.rationales)
    naive = rationale_prompts.as_("naive")(questions=questions.kept, styles=at.naive)
    pairs = teacher_pairs(
        asked=questions.asked,
        questions=questions.sampled,
        naive=naive,
        prompted=rationales.asked,
        rationales=rationales.said,
        drafts=rationales.explained,
        scores=drafts.scores,
        number=recipe.pairs.questions,
        share=recipe.pairs.share,
        seed=recipe.seed,
    )
    return pairs, by_dpo(at.parts.teacher, pairs, recipe.teacher.dpo, recipe.seed, "teacher")


def tailored(at: Elicitation, drafts: Drafts) -> Tailored:
    """What the student learns, by the recipe's method."""
    recipe, teacher = at.recipe, at.parts.teacher
    if choice := PICKS.get(recipe.method):
        picked = pick_drafts.as_("", title="pick drafts")(
            questions=drafts.questions.kept,
            prompted=drafts.rationales.asked,
            rationales=drafts.rationales.said,
            drafts=drafts.rationales.explained,
            scores=drafts.scores,
            choice=choice,
            style=recipe.style,
            seed=recipe.seed,
        )
        return Tailored(picked)
    pairs: Artifact | None = None
    after: Artifact | None = None
    writes: Model = teacher
    if recipe.method in ALIGNS:
        pairs, after = aligned(at, drafts)
        writes = after
    again = at.questions(writes, "again") if recipe.method in ("arte", "questions") else None
    questions = again or drafts.questions
    explains = teacher if recipe.method == "questions" else writes
    rationales = at.rationales(explains, questions.kept, at.naive, "again")
    return Tailored(rationales.explained, pairs, after, again, rationales)


@subflow("arte", run_name="{name} / {method}")
def tailor(name: str, method: str, *, run: Run, recipe: ArteRecipe, parts: Parts) -> Outcome:
    """Choose questions, draft, score, align, draft again, learn, measure."""
    at = Elicitation(run, recipe, parts)
    items = preference_set(at)
    drafts = drafted(at, items)
    made = tailored(at, drafts)
    policy = fine_tune.as_("", title="student learns")(
        policy=parts.student, demonstrations=made.learned, config=recipe.policy, seed=recipe.seed
    )
    asked = ask_questions.as_("test", measures=True)(
        questions=parts.test, examples=items.examples, shots=list(recipe.evaluate.shots)
    )
    before, after = (
        at.graded(model, asked, parts.test, f"test {when}", measures=True)[1]
        for when, model in (("before", parts.student), ("after", policy))
    )
    right = None
    if recipe.tasks.path == WORLD:
        right = grade_by_solving.as_("", measures=True)(demonstrations=made.learned)
    return Outcome(items, drafts, made, policy, before, after, right, tuple(at.sampled))


def arte(run: Run, recipe: ArteRecipe) -> Made:
    """One round: the teacher is aligned once."""
    parts = gather(run, recipe)
    settle_engine(run, recipe, parts)
    run.so_far(lambda: Result(headline="accuracy", measures={}))
    run.progress.round(1, 1)
    run.round = 1
    outcome = tailor(recipe.run, recipe.method, run=run, recipe=recipe, parts=parts)

    def made() -> Result:
        found = told(run.context.store, recipe, outcome)
        run.progress.result(found.verdict.line)
        return found.with_models(
            {"policy": outcome.policy}
            | ({"teacher": outcome.tailored.teacher} if outcome.tailored.teacher else {}),
            {"policy": outcome.policy.meta["final_loss"]},
        )

    return made
