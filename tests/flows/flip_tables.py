"""For `tests.flows.flips`: recipes to change, the value that each field is changed to, and, of what
is in no key, why it need not be."""

from typing import Any, NamedTuple

TODAY = "2026-01-31"


class Flip(NamedTuple):
    """Another value of a field, and what must be set for it to matter."""

    value: Any = None  # None: another of the field's type
    given: dict[str, Any] = {}
    base: str = ""  # "": by the section
    beside: dict[str, Any] = {}  # what has to change with it


FUNCTIONS = [{"function": "length-band"}, {"function": "exact-answer"}]
TRUSTED = {"runtime.trust_remote_code": True}
WITH_FILE = {"matrix.cells.model": None, "matrix.cells.path": "{answers_a}"}
SOURCES = {"prompts.path": [{"path": "{held_out}"}, {"path": "{prompts}"}]}
TEACHERS = {
    "teacher.by_dataset": [
        {"dataset": "c", "model": "{other_policy}"}, {"dataset": "d", "model": "{other_policy}"}
    ]
}  # fmt: skip
SERVER = "http://there:8000/v1"
OWN_ENCODER = {"student.backbone": {"kind": "model", "model": "{policy}"}}
FRESH_ENCODER = {"student.backbone": {"kind": "fresh"}}
CLIP_TEACHER = {"teacher": {"kind": "folder", "model": "{policy}"}}
IMAGE_MODEL = {"student.backbone": {"kind": "model", "model": "{policy}"}}
FLIPS = {
    "recipe": Flip("tso"),
    "run": Flip("another"),
    "rounds": Flip(3),
    "date": Flip("2026-02-01", {"policy.model": "{dated}", "date": TODAY}),
    "runtime.token_budget": Flip(512),
    "prompts.path": Flip("{other_prompts}"),
    "prompts.dev_path": Flip("{held_out}"),
    "prompts.test_path": Flip("{held_out}"),
    "prompts.path.path": Flip("{other_prompts}", SOURCES),
    "prompts.path.name": Flip("named", SOURCES),
    "prompts.path.weight": Flip(2.0, SOURCES),
    **{
        f"{section}.{name}": Flip("column", given | needed)
        for section, given in (("prompts.columns", {}), ("prompts.path.columns", SOURCES))
        for needed, names in (
            ({}, ("prompt", "messages", "dataset", "prompt_id")),
            ({f"{section}.prompt": "asked"}, ("input", "system")),
        )
        for name in names
    },
    "policy.model": Flip("{other_policy}"),
    "policy.template": Flip("plain"),
    "policy.pair_weight.form": Flip("linear", {"policy.pair_weight": {"form": "sigmoid"}}),
    "policy.pair_weight.beta_2": Flip(0.5, {"policy.pair_weight": {"form": "linear"}}),
    "policy.pair_weight.normalize": Flip(True, {"policy.pair_weight": {"form": "sigmoid"}}),
    "student.loss.name": Flip("margin_ranking"),
    "student.loss.margin": Flip(0.5, {"student.loss": {"name": "margin_ranking"}}),
    "policy.replay": Flip("all"),
    "policy.reference": Flip("initial"),
    "policy.adapter.target_modules": Flip(["q_proj"]),
    "policy.max_length": Flip(512),
    "student.model": Flip("{teacher}"),
    "student.replay_path": Flip("{other_replay}"),
    "student.adapter.target_modules": Flip(["query"]),
    "teacher.model": Flip("{student}"),
    "teacher.model.function": Flip("{code}:mine", {"teacher.model": FUNCTIONS, **TRUSTED}),
    "teacher.model.weight": Flip(0.5, {"teacher.model": FUNCTIONS}),
    "policy.best_pairs": Flip(0.5),
    "teacher.asking.template": Flip("{question}"),
    "evaluate.asking.template": Flip("{question}"),
    "labels": Flip("teacher"),
    "matrix.cells.human": Flip(True, WITH_FILE),
    "matrix.cells.name": Flip("c"),
    "matrix.cells.family": Flip("g"),
    "matrix.cells.model": Flip("{other_policy}"),
    "matrix.cells.path": Flip("{answers_c}", WITH_FILE),
    "matrix.cells.human (matrix)": Flip(True),
    "matrix.cells.path (matrix)": Flip("{answers_c}"),
    "matrix.correction.judge (matrix)": Flip("none"),
    "matrix.axes": Flip(["version"]),
    "matrix.correction.judge": Flip("none"),
    "evaluate.judge": Flip("teacher", base="world"),
    "evaluate.judge (best-of-n)": Flip("teacher", base="best in the world"),
    "answers (opd)": Flip("teacher"),
    "teacher.by_dataset.dataset (opd)": Flip("prompts", TEACHERS),
    "teacher.by_dataset.model (opd)": Flip("{student}", TEACHERS),
    "teacher.model (opd)": Flip("{other_policy}"),
    "teacher.url (opd)": Flip(SERVER),
    "teacher.served_model (opd)": Flip("another", {"teacher.url": SERVER}),
    "teacher.by_dataset.url (opd)": Flip(SERVER, TEACHERS),
    "teacher.by_dataset.served_model (opd)": Flip(
        "another", TEACHERS | {"teacher.by_dataset.url": SERVER}
    ),
    "evaluate.judge (opd)": Flip("teacher", base="opd in the world"),
    "preferences (adpa)": Flip("{other_replay}"),
    "teacher.model (adpa)": Flip("{other_policy}"),
    "teacher.aligned (adpa)": Flip("{other_policy}"),
    "teacher.adapter.target_modules (adpa)": Flip(["q_proj"]),
    "dpo.beta (adpa)": Flip(0.5, {"method": "dpo"}),
    "evaluate.judge (adpa)": Flip("teacher", base="adpa in the world"),
    "tasks.path (arte)": Flip("{other_questions}"),
    **{f"tasks.columns.{name} (arte)": Flip("column") for name in ("task", "question", "answer")},
    "tasks.marker (arte)": Flip("####"),
    "drafts.ask (arte)": Flip("Another: {examples}"),
    "drafts.styles.name (arte)": Flip("c"),
    "drafts.styles.instruction (arte)": Flip("C."),
    "drafts.naive (arte)": Flip("Think."),
    "items.shots (arte)": Flip([0, 1]),
    "items.zoo.name (arte)": Flip("c"),
    "items.zoo.model (arte)": Flip("{other_policy}"),
    "evaluate.shots (arte)": Flip([0]),
    "method (arte)": Flip("plain"),
    "style (arte)": Flip("b", {"method": "style", "style": "a"}),
    "teacher.model (arte)": Flip("{other_policy}"),
    "teacher.adapter.target_modules (arte)": Flip(["q_proj"]),
    "teacher.max_length (arte)": Flip(512),
    "teacher.model (ddk)": Flip("{other_policy}"),
    "texts.path": Flip("{other_texts}"),
    "texts.skew": Flip(0.5, base="ddk in the world"),
    **{f"texts.columns.{name}": Flip("column") for name in ("prompt", "completion", "dataset")},
    "mixture.rule": Flip("natural"),
    "mixture.alpha": Flip(0.25, {"mixture.rule": "smoothed"}),
    "mixture.clip": Flip(2.0, {"mixture.rule": "smoothed"}),
    "warm_up.datasets": Flip(["b"]),
    "warm_up.learning_rate": Flip(0.01),
    "oracle.model": Flip("{student}"),
    "teacher.model (hacking)": Flip("{other_policy}"),
    "online_share": Flip(0.5, {"answers": "mixed"}),
    **{f"{one}.adapter.target_modules": Flip(["q_proj"]) for one in ("start", "teacher")},
    **{f"{one}.max_length": Flip(512) for one in ("start", "teacher")},
    "teacher.model (leaf)": Flip("{other_policy}"),
    "texts.documents.path (leaf)": Flip("{other_prompts}"),
    "texts.queries.path (leaf)": Flip("{answers_c}"),
    "texts.documents.column (leaf)": Flip("said"),
    "texts.queries.column (leaf)": Flip("said"),
    "student.backbone.kind (leaf)": Flip("static", {"student.backbone": {"kind": "fresh"}}),
    "student.backbone.layers (leaf)": Flip([0, 1], {"student.backbone": {"kind": "layers"}}),
    "student.backbone.model (leaf)": Flip("{other_policy}", OWN_ENCODER),
    **{
        f"student.backbone.{name} (leaf)": Flip(value, FRESH_ENCODER)
        for name, value in (("depth", 3), ("width", 64), ("heads", 2))
    },
    "student.cycles (leaf)": Flip(3),
    "evaluate.retrieval.path (leaf)": Flip("{other_policy}"),
    "evaluate.similarity.path (leaf)": Flip("{prompts}"),
    "evaluate.dimensions (leaf)": Flip([8]),
    "evaluate.precisions (leaf)": Flip(["float32"]),
    "teacher.query_prompt (leaf)": Flip("query: "),
    "teacher.document_prompt (leaf)": Flip("passage: "),
    "activities.path": Flip("{other_prompts}"),
    "activities.sequences": Flip("{other_replay}"),
    **{
        f"activities.columns.{name}": Flip("column")
        for name in ("smiles", "target", "value", "cliff", "group")
    },
    **{
        f"activities.synthetic.{name}": Flip(base="made-up activities")
        for name in ("targets", "molecules", "noise", "seed")
    },
    "molecules.bits": Flip(512),
    "targets.kind": Flip(
        "one_hot", {"targets": {"kind": "kmers"}}, beside={"activities.sequences": None}
    ),
    "evaluate.near": Flip([0.2, 1.0]),
    "images.path (vl2v)": Flip("{other_prompts}"),
    "images.split (vl2v)": Flip("some"),
    "targets (vl2v)": Flip(["b"]),
    "teacher.kind (vl2v)": Flip("folder", beside=CLIP_TEACHER),
    "teacher.model (vl2v)": Flip("{other_policy}", CLIP_TEACHER),
    "teacher.text (vl2v)": Flip("{other_policy}"),
    "teacher.images.path (vl2v)": Flip("{other_prompts}"),
    "teacher.images.split (vl2v)": Flip("some"),
    "teacher.caption (vl2v)": Flip("{class}"),
    "teacher.width (vl2v)": Flip(16),
    "student.backbone.kind (vl2v)": Flip("model", beside=IMAGE_MODEL),
    "student.backbone.width (vl2v)": Flip(16, {"student.backbone": {"kind": "cnn"}}),
    "student.backbone.depth (vl2v)": Flip(4, {"student.backbone": {"kind": "cnn"}}),
    "student.backbone.model (vl2v)": Flip("{other_policy}", IMAGE_MODEL),
    "method (vl2v)": Flip("erm"),
    "logits.scale (vl2v)": Flip(20.0, {"method": "logits"}),
    "logits.labels (vl2v)": Flip(0.25, {"method": "logits"}),
    "prototypes.templates (vl2v)": Flip(["a {class}"]),
    "generate.engine": Flip("openai"),
    "generate.adapters": Flip(True, {"generate.engine": "vllm"}),
    "logged.completions": Flip("{other_logged}"),
    "logged.judgments": Flip("{logged}"),
    "logged.picks": Flip("{logged}"),
    "labels (logged)": Flip("teacher"),
    "student.warm_up_path": Flip("{other_replay}"),
    "logged.judge": Flip("another"),
    "logged.format": Flip("alpaca_eval"),
    "execution.kind": Flip("ray"),
    **{
        f"execution.{name}": Flip(value, {"execution.kind": "ray"})
        for name, value in (("address", "auto"), ("workers", 3), ("cpus_per_worker", 2))
    },
    "execution.gpus_per_worker": Flip(0.5, {"execution.kind": "ray"}),
    "runtime.device": Flip("cuda"),
    "runtime.dtype": Flip("bfloat16"),
    "runtime.train_micro_batch": Flip(4, {"policy.adapter": {"dropout": 0.1}}),
    "runtime.engine_python": Flip(
        "{newer}", {"generate.engine": "vllm", "runtime.engine_python": "{older}"}
    ),
    "runtime.train.config": Flip("ddp"),
    "runtime.train.processes": Flip(2, {"policy.adapter": {"dropout": 0.1}}),
    "runtime.trackers": Flip(["tensorboard"]),
    "runtime.trust_remote_code": Flip(True, {"policy.model": "{coded}"}),
}
for _field in ("prompt", "completion", "sample", "reward", "dataset", "finish_reason"):
    FLIPS[f"logged.fields.{_field}"] = Flip("another")

# Fields in no key: whether they can change a result, and why that needs no key.
NO, DIGITS = "no", "last digits"
REASONS = {
    "recipe": (NO, "a name; the other fields make the method what it is"),
    "run": (NO, "a name"),
    "evaluate.every": (NO, "a flow of one round is evaluated at its end"),
    "prompts.path.weight": (NO, "no prompt of the pool is asked, but those of the pairs"),
    "evaluate.bootstrap_samples": (
        "intervals",
        "they are computed with the summary, by every run; part of the run's digest",
    ),
    **{
        f"evaluate.{name}": ("figures", "as evaluate.bootstrap_samples")
        for name in ("near", "active", "top")
    },
    **{
        f"monitor.{name}": (NO, "what is said of what was measured; but see `stop_when`")
        for name in ("enabled", "z", "floor", "in_row", "early", "early_rounds")
    },
    "stop_when": (
        "which rounds there are",
        "an alarm ends the run with an earlier policy; part of the run's digest",
    ),
    "teacher.asking.attempts": (NO, "tries of one call; what came of it is kept"),
    "evaluate.asking.attempts": (NO, "tries of one call; what came of it is kept"),
    "evaluate.asking.dev_pairs": (NO, "an evaluation judges the test prompts"),
    "runtime.token_budget": (DIGITS, "how rows share a batch: rounding only"),
    "runtime.shard_prompts": (DIGITS, "how rows share a batch: rounding only"),
    "runtime.checkpoint_minutes": (NO, "a training goes on from a checkpoint as if undisturbed"),
    "generate.parallel.tensor": (DIGITS, "in which order the parts of a layer add up"),
    "generate.parallel.pipeline": (NO, "which GPU has which layers"),
    "generate.parallel.data": (DIGITS, "which requests share a batch of vLLM"),
    "runtime.train.config": (
        DIGITS,
        "who holds what of a model that is trained: rounding only, as a file that decides more is "
        "refused",
    ),
    "runtime.trackers": (NO, "they look on, and the random numbers are as without them"),
    "runtime.gpu_memory": (DIGITS, "how many requests vLLM puts into a batch"),
    **{
        f"execution.{name}": (NO, "who does it; a worker that computes with others is refused")
        for name in ("kind", "address", "workers", "gpus_per_worker")
    },
    "execution.cpus_per_worker": (DIGITS, "the order in which its threads add up"),
}

# When a field is in a key that mostly is in none.
NOTES = {
    "date": "where a model's chat template prints the date; else it changes nothing",
    "runtime.engine_python": "where vLLM samples or reads: the versions of what is there, not its "
    "place; else it changes nothing",
    "runtime.train_micro_batch": "where adapter dropout draws other units; else the parts are "
    "weighted so that the gradient is the batch's, and it is refused with losses that compare the "
    "pairs of a batch",
    "runtime.train.processes": "where adapter dropout draws other units; else each process adds up "
    "its share of the gradient, which is rounding; refused with losses that compare the pairs of a "
    "batch",
    "runtime.trust_remote_code": "where a model comes with code; else it changes nothing",
}


class Variable(NamedTuple):
    """An environment variable that the code names."""

    key: str  # which keys change
    result: str
    why: str


_CHATTER = Variable("none", NO, "what is printed or reported")
_CURVES = Variable("none", NO, "where a tracker draws")
_PLACE = Variable("none", NO, "where things are kept")
_THREADS = Variable("none", DIGITS, "the order in which threads add up")
SERVED = "generate, and ask of a judge `openai`"
_KERNELS = Variable("none", DIGITS, "which kernels add up; named in the summary")
_LOWERED = Variable("every stage with a model", "yes", "float32 is computed with fewer digits")
VARIABLES = {
    "CUDA_VISIBLE_DEVICES": Variable(
        "every stage with a model, where it hides the GPU", "yes", "device and type of the weights"
    ),
    "DNNL_DEFAULT_FPMATH_MODE": _LOWERED,
    "NVIDIA_TF32_OVERRIDE": _LOWERED,
    "ONEDNN_DEFAULT_FPMATH_MODE": _LOWERED,
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": _LOWERED,
    "OPENAI_BASE_URL": Variable(SERVED, "yes", "another server"),
    "OPENAI_MODEL": Variable(SERVED, "yes", "another model of the server"),
    "OPENAI_API_KEY": Variable("none", NO, "who asks; never kept"),
    "TEACHER_API_KEY": Variable("none", NO, "who asks a teacher's server; never kept"),
    "OMP_NUM_THREADS": _THREADS,
    "ATEN_CPU_CAPABILITY": _KERNELS,
    "DNNL_MAX_CPU_ISA": _KERNELS,
    "MKL_CBWR": _KERNELS,
    "MKL_ENABLE_INSTRUCTIONS": _KERNELS,
    "ONEDNN_MAX_CPU_ISA": _KERNELS,
    "GLOO_SOCKET_IFNAME": Variable("none", NO, "how processes of one training reach each other"),
    "LOCAL_RANK": Variable("none", NO, "which GPU a process of a training has, told by accelerate"),
    "PYTHONPATH": Variable("none", NO, "where the processes of a training find this code"),
    "PATH": Variable("none", NO, "begins with those beside `runtime.engine_python` in its process"),
    "VIRTUAL_ENV": Variable("none", NO, "not handed on to `runtime.engine_python`"),
    "OMP_WAIT_POLICY": Variable("none", NO, "how threads wait"),
    "GOMP_SPINCOUNT": Variable("none", NO, "how threads wait"),
    "TOKENIZERS_PARALLELISM": Variable("none", NO, "speed"),
    "TSALIGN_STORE": _PLACE,
    "TSALIGN_RUNS": _PLACE,
    "TSALIGN_CACHE": _PLACE,
    "TSALIGN_REPORTS_URL": Variable("none", NO, "where Prefect's artifact finds the report"),
    "PREFECT_*": Variable(
        "none", NO, "how Prefect keeps the books of a run; results are elsewhere"
    ),
    "DO_NOT_TRACK": _CHATTER,
    "MLFLOW_*": _CURVES,
    "TRACKIO_*": _CURVES,
    "WANDB_*": _CURVES,
    "NETRC": Variable("none", NO, "who sends curves to wandb; never kept"),
    "TORCH_CPP_LOG_LEVEL": _CHATTER,
    "VLLM_LOGGING_LEVEL": _CHATTER,
    "VLLM_NO_USAGE_STATS": _CHATTER,
    "HF_HUB_OFFLINE": Variable("none", NO, "whether a model hub is asked; handed to Ray's workers"),
    "RAY_*": Variable("none", NO, "how Ray's own cluster is closed to others, and silent"),
    "VLLM_CPU_OMP_THREADS_BIND": Variable(
        "none", NO, "which cores threads run on; set in Ray's workers"
    ),
    "VLLM_ENABLE_V1_MULTIPROCESSING": Variable("none", NO, "set by this project, always to 0"),
}
