"""Recipes, overrides and command lines that cannot be used: one line, exit status 2, at once."""

from typing import Any, NamedTuple

import pytest
import yaml

from tests.fixtures.commands import refused_in_new_process


class Field(NamedTuple):
    """A recipe of the embedded world with one field changed."""

    key: str
    value: Any
    says: str


FIELDS = [
    # Unknown keys
    Field("policy.betta", 0.1, "in a recipe of ts-align (did you mean 'policy.beta'?)"),
    Field("polcy", {}, "unknown key 'polcy' in a recipe of ts-align (did you mean 'policy'?)"),
    Field("beta", 0.1, "unknown key 'beta' in a recipe of ts-align (did you mean 'policy.beta'?)"),
    Field("generate.max_token", 9, "did you mean 'generate.max_tokens'?"),
    Field("student.adapter.rank", 4, "unknown key 'student.adapter.rank'"),
    Field("world.size", 4, "unknown key 'world.size'"),
    Field("runtime.devise", "cpu", "did you mean 'runtime.device'?"),
    Field("zebra", 1, "recipe.yaml: unknown key 'zebra'"),
    Field(7, 1, "7: keys must be text (quote it)"),
    # Wrong types
    Field("policy", 3, "policy: must be a mapping of keys to values, got 3"),
    Field("policy", None, "policy: must be a mapping of keys to values, got nothing"),
    Field("policy.beta", "high", "policy.beta: must be a number, got 'high'"),
    Field("policy.beta", True, "policy.beta: must be a number, got true"),
    Field("policy.beta", [0.1], "policy.beta: must be a number, got [0.1]"),
    Field("policy.losses", "sigmoid", "policy.losses: must be a mapping"),
    Field("policy.losses", {"sigmoid": "much"}, "policy.losses.sigmoid: must be a number"),
    Field("policy.adapter.target_modules", 3, "target_modules: must be text (quote it)"),
    Field("generate.k", 2.5, "generate.k: must be a whole number, got 2.5"),
    Field("generate.k", "8", "generate.k: must be a whole number, got '8'"),
    Field("generate.k", None, "generate.k: must be a whole number, got nothing"),
    Field("runtime.trust_remote_code", "yes", "trust_remote_code: must be true or false"),
    Field("mine.drop_truncated", 1, "mine.drop_truncated: must be true or false, got 1"),
    Field("rounds", [], "rounds: must be a whole number, got []"),
    Field("run", 7, "run: must be text (quote it), got 7"),
    Field("run", None, "run: must be text"),
    Field("prompts.path", 3, "prompts.path: must be text"),
    Field("prompts.path", [], "prompts.path: names no file; give one"),
    Field("prompts.path", [{"path": "a.jsonl", "weight": 0}], "weight: must be greater than 0"),
    Field(
        "prompts.dev_path", [{"path": "a", "weight": 2}], "unknown key 'prompts.dev_path.0.weight'"
    ),
    # Out of range
    Field("policy.beta", -1.0, "policy.beta: must be greater than 0, got -1.0"),
    Field("policy.beta", float("nan"), "policy.beta: must be a finite number, got nan"),
    Field("policy.beta", float("inf"), "policy.beta: must be a finite number, got inf"),
    Field("policy.learning_rate", 0, "policy.learning_rate: must be greater than 0"),
    Field("policy.losses", {"sigmoid": -1.0}, "policy.losses.sigmoid.weight: must be at least 0"),
    Field("policy.warmup_ratio", 1.0, "policy.warmup_ratio: must be less than 1"),
    Field("policy.max_length", 2, "policy.max_length: must be at least 8"),
    Field("policy.batch_size", 0, "policy.batch_size: must be at least 1"),
    Field("student.replay", 1, "student.replay: must be less than 1"),
    Field("student.adapter.r", 0, "student.adapter.r: must be at least 1"),
    Field("student.adapter.dropout", -0.1, "student.adapter.dropout: must be at least 0"),
    Field("generate.k", 1, "generate.k: must be at least 2, got 1"),
    Field("generate.top_p", 0, "generate.top_p: must be greater than 0"),
    Field("generate.top_p", 1.1, "generate.top_p: must be at most 1"),
    Field("generate.temperature", -1, "generate.temperature: must be at least 0"),
    Field("evaluate.bootstrap_samples", 3, "evaluate.bootstrap_samples: must be at least 100"),
    Field("gate.min_win_rate", 51, "gate.min_win_rate: must be at most 1, got 51"),
    Field("runtime.gpu_memory", 1.5, "runtime.gpu_memory: must be at most 1"),
    Field("world.prompts", 3, "world.prompts: must be at least 10"),
    Field("seed", -1, "seed: must be at least 0"),
    Field("seed", 2**32, "seed: must be less than 4294967296"),
    Field("seed", 2**63, "a whole number of more than 64 bits"),
    Field("rounds", 0, "rounds: must be at least 1"),
    # Not among the choices
    Field("policy.method", "dora", "policy.method: must be one of 'full', 'lora' or 'qlora'"),
    Field("policy.losses", {"sigmod": 1.0}, "policy.losses"),
    Field("policy.scheduler", "step", "policy.scheduler: must be one of 'linear'"),
    Field("generate.engine", "sglang", "generate.engine: must be one of 'auto', 'vllm'"),
    Field("evaluate.judge", "recorded", "evaluate.judge: 'recorded' judgments are of logged"),
    Field("evaluate.judge", ["teacher", "teacher"], "evaluate.judge: names a judge twice"),
    Field("evaluate.judge", [], "evaluate.judge: names nobody"),
    Field("runtime.device", "tpu", "runtime.device: must be one of"),
    Field("recipe", "ppo", "recipe: must be one of 'ts-align'"),
    # Names that would lead out of the folder of the runs
    Field("run", "../outside", "run: must match"),
    Field("run", "/etc/run", "run: must match"),
    Field("run", "..", "run: must match"),
    Field("run", "a/b", "run: must match"),
    Field("run", "a\n", "run: must match"),
    Field("run", "", "run: must match"),
    Field("run", "r" * 65, "run: must match"),
    # Contradictions
    Field("policy.losses", {}, "policy.losses: no loss has a weight above 0"),
    Field("policy.losses", {"sigmoid": 0.0}, "policy.losses: no loss has a weight above 0"),
    Field("prompts.dev_path", "dev.jsonl", "prompts.dev_path: the world's prompts bring their own"),
    Field("world", None, "policy.model: name your own, or add 'world: {}'"),
    Field("prompts.per_round", 9_000, "3 rounds of 9000 need 27000 prompts, there are 6000"),
    Field("student.model", "fresh", "student.model: 'fresh' learns from logged completions only"),
    Field("logged", {"completions": "a.jsonl"}, "student.model: name your own, or 'fresh'"),
    Field("generate.engine", "openai", "set OPENAI_BASE_URL"),
    # Secrets
    Field("generate.api_key", "sk-123", "generate.api_key: looks like a secret"),
    Field("hf_token", "hf_123", "hf_token: looks like a secret"),
    Field("prompts.path", "https://me:sk-123@host/p.jsonl", "prompts.path: looks like a secret"),
]  # fmt: skip


@pytest.mark.parametrize("case", FIELDS, ids=lambda case: f"{case.key}={case.value!r:.30}")
def test_a_field(refuse_recipe, case):
    values: dict[Any, Any] = {"run": "demo", "world": {}}
    *sections, name = case.key.split(".") if isinstance(case.key, str) else [case.key]
    place = values
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = case.value
    line = refuse_recipe(yaml.safe_dump(values))
    assert case.says in line
    assert "sk-123" not in line and len(line) < 400


BASE = "run: demo\nworld: {}\n"
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)
ALIAS_BOMB = "b:\n  b0: &b0 x\n" + "".join(
    f"  b{i}: &b{i} [{f'*b{i - 1},' * 9}]\n" for i in range(1, 30)
)


class Text(NamedTuple):
    name: str
    content: str | bytes
    says: str


TEXTS = [
    Text("empty", "", "must be a mapping of keys to values"),
    Text("blank", " \n\n", "must be a mapping of keys to values"),
    Text("comment", "# run: a\n", "must be a mapping of keys to values"),
    Text("text", "just text", "must be a mapping of keys to values"),
    Text("list", "- run: a\n- world: {}\n", "must be a mapping of keys to values"),
    Text("number", "42", "must be a mapping of keys to values"),
    Text("no run", "world: {}\n", "run: is required; add it"),
    Text("binary", b"\x80\x02}q\x00.", "not UTF-8 text"),
    Text("zeros", b"\x00" * 100, "correct the YAML"),
    Text("utf-16", "run: demo".encode("utf-16"), "not UTF-8 text"),
    Text("latin-1", "run: caf\xe9".encode("latin-1"), "not UTF-8 text"),
    Text("bom", b"\xef\xbb\xbf" + b"run: demo\nbeta: 1\n", "unknown key 'beta'"),
    Text("tab", BASE + "\tseed: 1\n", "line 3: "),
    Text("key twice", BASE + "seed: 1\nseed: 2\n", "line 4: key 'seed' comes twice"),
    Text("key twice inside", BASE + "policy: {beta: 1, beta: 2}", "line 3: key 'beta' comes twice"),
    Text("open bracket", BASE + "policy: [", "correct the YAML"),
    Text("open quote", BASE + "policy: 'a", "correct the YAML"),
    Text("two documents", BASE + "---\n" + BASE, "correct the YAML"),
    Text("python tag", BASE + "seed: !!python/object/apply:os.system [exit]", "line 3: could not"),
    Text("python name", BASE + "seed: !!python/name:os.system", "could not determine"),
    Text("unknown tag", BASE + "seed: !env SEED", "could not determine a constructor"),
    Text("empty int", BASE + "seed: !!int ''", "correct the YAML"),
    Text("no anchor", BASE + "seed: *nowhere", "undefined alias"),
    Text("itself", BASE + "policy: &a [*a]", "policy: must be a mapping"),
    Text("alias bomb", BASE + ALIAS_BOMB, "unknown key"),
    Text("merge bomb", BASE + MERGE_BOMB, "a mapping of more than 1_000 keys"),
    Text("deep", BASE + "seed: " + "[" * 5_000, "correct the YAML"),
    Text("huge int", BASE + "seed: " + "9" * 5_000, "correct the YAML"),
    Text("list as key", BASE + "[a]: 1\n", "correct the YAML"),
    Text("large", "# filler\n" * 20_000 + BASE, "is larger than 100_000 bytes"),
    Text("weights", b"\x00" * 200_000, "is larger than 100_000 bytes"),
    Text("json", '{"run": "demo", "world": {}, "seed": "1"}', "seed: must be a whole number"),
]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_a_recipe_file(refuse_recipe, case):
    line = refuse_recipe(case.content)
    assert case.says in line and "recipe.yaml: " in line
    assert len(line) < 400


class Override(NamedTuple):
    arguments: str
    says: str


OVERRIDES = [
    Override(
        "--set policy.bet=1",
        "--set policy.bet=1: unknown key 'policy.bet' in a recipe of ts-align (did you mean",
    ),
    Override("--set generate.k", "--set generate.k: must look like policy.beta=0.2"),
    Override("--set =1", "must look like policy.beta=0.2"),
    Override("--set a..b=1", "must look like policy.beta=0.2"),
    Override("--set generate.k=1", "--set generate.k=1: generate.k: must be at least 2"),
    Override("--set generate.k=[", "--set generate.k=[: value is not YAML; quote it"),
    Override("--set generate.k=", "generate.k: must be a whole number, got nothing"),
    Override("--set seed.x=1 --set seed.x.y=1", "seed.x holds a value and has no keys"),
    Override(
        "--set generate={k:1}",
        "unknown key 'generate.k:1' in a recipe of ts-align (did you mean 'generate.k'?)",
    ),
    Override("--set policy.beta=0.1 --set policy.beta=x", "policy.beta: must be a number"),
    Override("--set policy.beta=!!python/name:os", "value is not YAML"),
    Override("--set seed=99999999999999999999", "value is not YAML"),
    Override("--set generate.api_key=sk-123", "generate.api_key: looks like a secret"),
    Override("--run ../up", "--run ../up: run: must match"),
    Override("--run .", "run: must match"),
    Override("--set run=a/b", "run: must match"),
    Override("--store=", "store: is empty"),
    Override("--store nosuch://bucket/x", "store 'nosuch://bucket/x'"),
    Override("--store s3://me:sk-123@bucket/x", "the URL holds a user or password"),
]


@pytest.mark.parametrize("case", OVERRIDES, ids=lambda case: case.arguments)
def test_an_override(refuse_recipe, case):
    line = refuse_recipe(BASE, *case.arguments.split())
    assert case.says in line and "sk-123" not in line


COMMANDS = [
    Override("train x.yaml", "no such command 'train'"),
    Override("align", "missing argument 'RECIPE'; see `tsalign align --help`"),
    Override("align x.yaml y.yaml", "unexpected extra argument(s) (y.yaml)"),
    Override("align x.yaml --rounds 3", "no such option: --rounds"),
    Override(
        "align x.yaml --set", "option '--set' requires an argument; see `tsalign align --help`"
    ),
    Override("align none.yaml", "none.yaml: no such file; check the path"),
    Override("align none.yaml/x", "none.yaml/x: "),
    Override("align .", ".: is a folder; name a file in it"),
    Override("status none", "no such run; `tsalign status` lists the runs"),
    Override("status ../..", "'../..' is no name of a run"),
    Override("report none", "no such run"),
    Override("report ..", "'..' is no name of a run"),
    Override("report", "name one RUN, or two with --compare"),
    Override("report --compare only_one", "option '--compare' requires 2 arguments"),
    Override("report --compare none ..", "no such run"),
    Override("report --compare .. none", "'..' is no name of a run"),
    Override("report /etc/passwd", "'/etc/passwd' is no name of a run"),
]


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: case.arguments or "nothing")
def test_a_command_line(refuse, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert case.says in refuse(*case.arguments.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--store", "--runs-dir"])
def test_a_place_that_cannot_be_written(refuse, tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "recipe.yaml").write_text(BASE)
    places = {"--store": tmp_path / "store", "--runs-dir": tmp_path / "runs"}
    places[option] = tmp_path / "file" / "below"
    arguments = [text for item in places.items() for text in map(str, item)]
    line = refuse("align", str(tmp_path / "recipe.yaml"), "--quiet", *arguments)
    assert line.startswith(f"{option}: ") and "cannot be written" in line
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_wrong_path_is_refused_in_seconds_without_prefect_or_torch(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(BASE + "prompts: {path: ./nowhere.jsonl}\n")
    arguments = ["align", str(recipe), "--store", str(tmp_path / "s"), "--runs-dir", str(tmp_path)]
    spent = refused_in_new_process(*arguments, without={"prefect", "torch", "transformers"})
    assert "no such file './nowhere.jsonl'" in spent.error
    assert spent.seconds < 5
    assert not (tmp_path / "s").exists()
