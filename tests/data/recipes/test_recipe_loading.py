import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.recipes import loading
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from flows.loop.recipe import AlignRecipe
from flows.recipe_files import load_recipe

MINIMAL = "run: demo\nworld: {}\n"


@pytest.fixture
def recipe_file(tmp_path):
    def write(text):
        path = tmp_path / "x.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def lines_of(path, *overrides):
    with pytest.raises(InputError) as error:
        load_recipe(path, overrides)
    return [line.removeprefix(f"{path.parent}/") for line in str(error.value).split("\n")]


def message(path, *overrides):
    (line,) = lines_of(path, *overrides)
    return line


def test_a_recipe_is_its_defaults_and_what_the_file_says(recipe_file):
    recipe = load_recipe(recipe_file(MINIMAL + "generate: {k: 4}\n"))
    assert recipe == AlignRecipe(run="demo", world={}, generate={"k": 4})


def test_numbers_are_read_as_people_write_them(recipe_file):
    text = MINIMAL + "policy: {learning_rate: 5e-6, beta: 1}\nstudent: {learning_rate: 2E-3}\n"
    recipe = load_recipe(recipe_file(text))
    assert (recipe.policy.learning_rate, recipe.policy.beta) == (5e-6, 1.0)
    assert recipe.student.learning_rate == 2e-3


def test_a_date_is_a_fine_run_name(recipe_file):
    assert load_recipe(recipe_file("run: 2026-01-31\nworld: {}\n")).run == "2026-01-31"


def test_overrides_win_over_the_file_and_the_last_one_over_earlier_ones(recipe_file):
    path = recipe_file(MINIMAL + "generate: {k: 4}\n")
    overrides = ["generate.k=6", "generate.k=5", "student.adapter.target_modules=[q, v]", "seed=1"]
    recipe = load_recipe(path, overrides, run="other")
    assert (recipe.generate.k, recipe.seed, recipe.run) == (5, 1, "other")
    assert recipe.student.adapter.target_modules == ["q", "v"]


def test_a_run_name_given_as_option_stays_text(recipe_file):
    assert load_recipe(recipe_file(MINIMAL), run="7").run == "7"


def test_digest_changes_with_what_can_change_a_result_only(recipe_file):
    path = recipe_file(MINIMAL)
    digest = config_digest(load_recipe(path))
    same = load_recipe(path, ["runtime.device=cpu", "runtime.token_budget=128"], run="other")
    assert config_digest(same) == digest
    for override in ("policy.beta=0.2", "seed=1", "world.seed=3", "teacher.min_margin=0.1"):
        assert config_digest(load_recipe(path, [override])) != digest


BAD_FILES = {
    "policy: {betta: 0.2}": "'policy.betta' in a recipe of ts-align (did you mean 'policy.beta'?)",
    "polcy: {beta: 0.2}": "unknown key 'polcy' in a recipe of ts-align (did you mean 'policy'?)",
    "beta: 0.2": "unknown key 'beta' in a recipe of ts-align (did you mean 'policy.beta'?)",
    "teacher: {weight: 2}": "(did you mean 'teacher.model.weight'?)",
    "teacher: {weights: 2}": "(did you mean 'teacher.model.weight'?)",
    "judge: teacher": "'judge' in a recipe of ts-align (did you mean 'evaluate.judge'?)",
    "student: {adapter: {rank: 4}}": "unknown key 'student.adapter.rank'",
    "zebra: 1": "x.yaml: unknown key 'zebra'",
    "generate: {k: 1}": "x.yaml: generate.k: must be at least 2, got 1",
    "generate: {k: 2.5}": "generate.k: must be a whole number, got 2.5",
    "generate: {k: true}": "generate.k: must be a whole number, got true",
    "generate: {k: '8'}": "generate.k: must be a whole number, got '8'",
    "generate: {k: null}": "generate.k: must be a whole number, got nothing",
    "generate: {top_p: 0}": "generate.top_p: must be greater than 0, got 0",
    "generate: {top_p: 1.1}": "generate.top_p: must be at most 1, got 1.1",
    "generate: {engine: vlm}": "generate.engine: must be one of 'auto', 'vllm'",
    "student: {replay: 1}": "student.replay: must be less than 1, got 1",
    "policy: {beta: .nan}": "policy.beta: must be a finite number, got nan",
    "policy: {beta: .inf}": "policy.beta: must be a finite number, got inf",
    "policy: {beta: high}": "policy.beta: must be a number, got 'high'",
    "policy: {losses: sigmoid}": "policy.losses: must be a mapping of keys to values",
    "policy: {pair_weight: {form: sigmoid}, losses: {hinge: 1}}": "policy.pair_weight: goes with",
    "policy: {margin_offset: 1, losses: {sigmoid: 1, ipo: 1}}": "sigmoid.margin_offset: goes with",
    "policy: {margin_offset: 1, losses: {dual_clip: 1}}": "policy.margin_offset: is a setting of",
    "policy: {pair_weight: {form: linear, beta_2: 0}}": "pair_weight.beta_2: must be greater than",
    "policy: {pair_weight: {form: cubic}}": "policy.pair_weight: 'form' must be one of 'none',",
    "policy: {pair_weight: linear}": "policy.pair_weight: must be a mapping of keys to values",
    "student: {loss: hing}": "student.loss: 'name' must be one of 'bradley_terry',",
    "student: {loss: {margin: 1}}": "student.loss: must say its 'name', got {'margin': 1}",
    "matrix: {cells: 3}": "matrix.cells: must be a list, got 3",
    "policy: {losses: {exo_pair: 1}}": "policy.losses.exo_pair.label_smoothing: is required",
    "policy: {label_smoothing: 0.1}": "as policy.losses: {robust: {label_smoothing: 0.1}}",
    "runtime: {token_budget: 63}": "x.yaml: runtime.token_budget: must be at least 64, got 63",
    "runtime: {token_budget: 99.5}": "runtime.token_budget: must be a whole number, got 99.5",
    "runtime: {token_budget: all}": "token_budget: must be auto or a whole number, got 'all'",
    "policy: 3": "policy: must be a mapping of keys to values, got 3",
    "policy:": "policy: must be a mapping of keys to values, got nothing",
    "runtime: {trust_remote_code: yes please}": "trust_remote_code: must be true or false",
    "logged: []\nstudent: {model: s}": "logged: must be a mapping of keys to values, got []",
    "rounds: []": "rounds: must be a whole number, got []",
    "seed: -1": "seed: must be at least 0, got -1",
    "run: ../up": "run: must match",
    "run: 7": "run: must be text (quote it), got 7",
    "labels: matrix\nmatrix: {cells: []}": "matrix.cells: must list at least 2, got []",
    "student: {loss: {name: bradley_terry, margin: 1}}": "unknown key 'student.loss.margin' in a "
    "recipe of ts-align (it goes with 'name: margin_ranking'; remove it here)",
    "seed: 1\nseed: 2": "key 'seed' comes twice; correct the YAML",
    "policy: {beta: 1, beta: 2}": "key 'beta' comes twice",
    "policy: [": "line 4: ",
    "policy: {beta: 1": "correct the YAML",
    "\tseed: 1": "cannot start any token",
    "seed: !!python/object:os.system 1": "could not determine a constructor",
    "seed: !!int ''": "correct the YAML",
    "seed: *nowhere": "undefined alias",
}


@pytest.mark.parametrize(("text", "words"), BAD_FILES.items(), ids=BAD_FILES.keys())
def test_a_bad_recipe_is_refused_in_one_line(recipe_file, text, words):
    lines = "world: {}\n" + text + "\n"
    if "run:" not in text:
        lines = "run: demo\n" + lines
    found = message(recipe_file(lines))
    assert found.startswith("x.yaml: ")
    assert words in found


def test_a_key_that_is_near_to_nothing_is_given_no_other(recipe_file):
    found = message(recipe_file("run: a\nworld: {}\nstudent: {lrx: 1}"))  # 'loss' is not meant
    assert found == "x.yaml: unknown key 'student.lrx' in a recipe of ts-align"


@pytest.mark.parametrize("key", ["policy.replay", "policy.beta"])
def test_a_key_of_other_flows_says_so(recipe_file, key):
    found = message(recipe_file("recipe: best-of-n\nrun: a\nworld: {}"), f"{key}=1")
    where = "recipes of ts-align, optune, tso have it; remove it here"
    assert found.endswith(f"unknown key '{key}' in a recipe of best-of-n ({where})")


LEAF = "recipe: leaf\nrun: a\nteacher: {model: t}\nevaluate: {retrieval: [{path: r}]}\n"
BACKBONE = LEAF + "texts: {documents: [{path: d}], queries: [{path: q}]}\nstudent: {backbone: "
DDK = "recipe: ddk\nrun: a\nworld: {teacher_lessons: 9}\n"
IN_UNIONS = {
    BACKBONE + "{kind: model, model: 3}}": "student.backbone.model: must be text (quote it), got 3",
    BACKBONE + "{kind: model}}": "student.backbone.model: is required; add it",
    BACKBONE + "{kind: fresh, width: 9}}": "x.yaml: student.backbone.heads: 4 does not divide",
    BACKBONE + "{kind: layers, layers: []}}": "layers: must list at least one, got []",
    BACKBONE + "{kind: layers, depth: 2}}": "(it goes with 'kind: fresh'; remove it here)",
    LEAF + "texts: {queries: [{path: q, column: ''}]}": "texts.queries.0.column: must not be empty",
    DDK + "mixture: {rule: unsmoothed, alpha: 1}": "unknown key 'mixture.alpha' in a recipe of ddk "
    "(it goes with 'rule: smoothed'; remove it here)",
    DDK + "warm_up: {datasets: []}": "warm_up.datasets: must list at least one, got []",
}


@pytest.mark.parametrize(("text", "words"), IN_UNIONS.items(), ids=IN_UNIONS.keys())
def test_a_place_in_a_union_is_named_as_it_is_written(recipe_file, text, words):
    found = message(recipe_file(text))
    assert words in found
    assert not any(twice in found for twice in ("model.model", "layers.layers", "fresh: "))


def test_what_is_not_a_recipe_file_is_refused(recipe_file, tmp_path):
    assert message(tmp_path / "none.yaml") == "none.yaml: no such file; check the path"
    assert "is a folder" in message(tmp_path)
    assert "not UTF-8" in message(recipe_file(b"run: \xff\xfe"))
    for text in ("", "just text", "- a\n- b", "42"):
        assert "must be a mapping of keys to values" in message(recipe_file(text))
    assert message(recipe_file("world: {}")) == "x.yaml: run: is required; add it"
    assert message(recipe_file("run: a")).startswith("x.yaml: policy.model: name your own")


THEIRS = {
    "policy.lr": "policy.learning_rate",
    "policy.lora_r": "policy.adapter.r",
    "student.loss_type": "student.loss.name",
    "policy.per_device_train_batch_size": "policy.batch_size",
    "prompts.dev_prompts": "prompts.dev_size",
    "generate.num_generations": "generate.k",
    "runtime.tensor_parallel_size": "generate.parallel.tensor",
    "gpu_memory_utilization": "runtime.gpu_memory",
}


@pytest.mark.parametrize(("theirs", "ours"), THEIRS.items(), ids=THEIRS.keys())
def test_the_name_that_another_library_has_is_answered_by_ours(recipe_file, theirs, ours):
    found = message(recipe_file(MINIMAL), f"{theirs}=1")
    assert found.endswith(f"unknown key '{theirs}' in a recipe of ts-align (here it is '{ours}')")


def test_our_names_for_those_of_other_libraries_are_there():
    known = list(loading.dotted_keys(AlignRecipe))
    ours = [name for names in loading._OF_OTHERS.values() for name in names]
    assert [o for o in ours if not any(f".{key}".endswith(f".{o}") for key in known)] == []


def test_every_key_that_is_wrong_has_a_line_unknown_ones_first(recipe_file):
    text = "generate: {k: 1}\nseed: -1\npolicy: {betta: 1}"
    assert lines_of(recipe_file(text)) == [
        "x.yaml: unknown key 'policy.betta' in a recipe of ts-align (did you mean 'policy.beta'?)",
        "x.yaml: run: is required; add it",
        "x.yaml: seed: must be at least 0, got -1",
        "x.yaml: generate.k: must be at least 2, got 1",
    ]
    many = "".join(f"x{n}x: 1\n" for n in range(30))
    assert lines_of(recipe_file(many))[9:] == [
        "x.yaml: unknown key 'x9x' in a recipe of ts-align (and 21 more)"
    ]


BAD_OVERRIDES = {
    "generate.k": "--set generate.k: must look like policy.beta=0.2",
    "=1": "must look like",
    "a..b=1": "must look like",
    "policy.betta=1": "--set policy.betta=1: unknown key 'policy.betta' in a recipe of ts-",
    "generate.k=1": "--set generate.k=1: generate.k: must be at least 2, got 1",
    "generate.k=[": "--set generate.k=[: value is not YAML",
    "generate.k=": "generate.k: must be a whole number, got nothing",
    "generate.k.x=1": "generate.k holds a value and has no keys",
    "policy.losses.sigmoid=much": "policy.losses.sigmoid: must be a number, or a mapping",
    "generate={k: 1}": "--set generate={k: 1}: generate.k: must be at least 2",
}


@pytest.mark.parametrize(("override", "words"), BAD_OVERRIDES.items(), ids=BAD_OVERRIDES.keys())
def test_a_bad_override_is_refused_and_named(recipe_file, override, words):
    assert words in message(recipe_file(MINIMAL + "generate: {k: 4}\n"), override)


def refused_or_recipe(path, overrides=()):
    try:
        assert isinstance(load_recipe(path, overrides), RunRecipe)
    except InputError as error:
        lines = getattr(error, "problems", (str(error),))
        assert not any("\n" in line for line in lines) and len(lines) <= 10


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_an_input_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_bytes(data)
    refused_or_recipe(path)


YAML_BITS = st.sampled_from(
    [
        "run: a",
        "world: {}",
        "policy:",
        "  beta: ",
        "1e-3",
        "- ",
        "&a ",
        "*a",
        "!!int ",
        "!!binary ",
        "!!timestamp ",
        "!!bool x",
        "!!set {a}",
        "!!omap [a]",
        "<<: ",
        "? ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "\n",
        ": ",
        "|",
        ">",
        "%",
        "@",
        "\x00",
        "\u2028",
        "0b",
        "0x",
        "1:30",
        "_",
        ".",
    ]
)


@given(st.lists(YAML_BITS, max_size=12))
def test_any_yaml_is_a_recipe_or_an_input_error(tmp_path_factory, bits):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text("".join(bits))
    refused_or_recipe(path)


@given(st.text(max_size=30), st.lists(YAML_BITS, max_size=4))
def test_any_override_is_taken_or_an_input_error(tmp_path_factory, key, bits):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text(MINIMAL)
    value = "".join(bits)
    for override in (key, f"{key}={value}", f"policy.beta={value}", f"world={value}"):
        refused_or_recipe(path, [override])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["policy", "beta", "run", "k", "losses", "adapter"]) | st.text(), inner
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(AlignRecipe.model_fields)), JSON)
def test_any_value_of_any_section_is_taken_or_an_input_error(tmp_path_factory, section, value):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text(yaml.safe_dump({"run": "a", "world": {}, section: value}))
    refused_or_recipe(path)


def test_a_structure_that_contains_itself_or_explodes_is_an_input_error(recipe_file):
    assert "policy" in message(recipe_file(MINIMAL + "policy: &a [*a]\n"))
    bomb = "".join(f"b{i}: &b{i} [{f'*b{i - 1},' * 9}]\n" for i in range(1, 30))
    found = lines_of(recipe_file(MINIMAL + "b0: &b0 x\n" + bomb + "rounds: *b29\n"))
    assert all(len(line) < 300 for line in found)
    assert "correct the YAML" in message(recipe_file(MINIMAL + "seed: " + "[" * 5000))
