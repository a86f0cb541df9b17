"""What a run of ARTE starts from: the user's questions and models, or those of the world of
puzzles, which has a bootstrap of its own."""

from data.readers.questions import PARTS, Part
from data.recipes.config import WORLD
from data.recipes.recipe import WorldConfig
from data.store.artifacts import Artifact
from flows.arte.recipe import ArteRecipe
from flows.arte.state import Parts
from flows.loop.inputs import templated
from tasks.puzzles import puzzle_student, puzzle_teacher, puzzle_tokenizer, world_puzzles
from tasks.questions import import_questions, part_of_questions
from tasks.running.subflow import subflow
from tasks.stage import Model, Run

TITLES: dict[Part, str] = {
    "seeds": "seed questions",
    "validation": "validation questions",
    "test": "test questions",
}
TEACHER, STUDENT = (128, 4), (96, 3)  # width and layers
# Width and layers, and the share of the student's lessons, of the world's other models.
ZOO = {"smaller": (64, 2, 0.5), "early": (96, 3, 0.25)}


def gather(run: Run, recipe: ArteRecipe) -> Parts:
    """Models and questions of the recipe."""
    questions = questions_of(run, recipe)
    if recipe.tasks.path == WORLD:
        assert recipe.world is not None
        teacher, student, zoo = puzzle_world(recipe.world)
    else:
        teacher = run.outside["teacher.model"]
        student = templated(run, recipe.policy.template, run.outside["policy.model"])
        zoo = {one.name: run.outside[one.called] for one in recipe.items.zoo}
    return Parts(student, teacher, zoo, **questions)


def questions_of(run: Run, recipe: ArteRecipe) -> dict[Part, Artifact]:
    """DEMONSTRATIONS of every part."""
    config = recipe.tasks
    sizes = [config.seeds, config.validation, config.test]
    if config.path == WORLD:
        assert recipe.world is not None
        return {
            part: world_puzzles.as_(part, title=TITLES[part])(
                part=part, size=size, seed=recipe.world.seed
            )
            for part, size in zip(PARTS, sizes, strict=True)
        }
    read = import_questions.as_("", title="read tasks.path")
    whole = read(source=run.outside["tasks.path"], columns=config.columns)
    return {
        part: part_of_questions.as_(part, title=TITLES[part])(
            questions=whole, part=part, sizes=sizes, seed=recipe.seed
        )
        for part in PARTS
    }


@subflow("bootstrap", run_name="bootstrap")
def puzzle_world(world: WorldConfig) -> tuple[Model, Model, dict[str, Model]]:
    """Teacher, student and zoo of the world of puzzles: `world.lessons` teach the teacher,
    `world.policy_examples` the student."""
    tokenizer = puzzle_tokenizer()

    def student(role: str, width: int, layers: int, lessons: int) -> Artifact:
        return puzzle_student.as_(role, title=role)(
            tokenizer=tokenizer, lessons=lessons, width=width, layers=layers, seed=world.seed
        )

    width, layers = TEACHER
    teacher = puzzle_teacher.as_("", title="teacher")(
        tokenizer=tokenizer, lessons=world.lessons, width=width, layers=layers, seed=world.seed
    )
    learner = student("student", *STUDENT, world.policy_examples)
    zoo: dict[str, Model] = {
        name: student(f"zoo {name}", wide, deep, round(share * world.policy_examples))
        for name, (wide, deep, share) in ZOO.items()
    }
    return teacher, learner, zoo
