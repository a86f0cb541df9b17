"""Where the repository is, for tests of its files and for commands that start in it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"  # real data and cases beside the checkout, where there are any

# The files that take longest, longest first: two workers then end at about the same time.
LONGEST = """
    flows/test_every_flow.py bench/test_bench.py models/training/test_resume.py
    flows/test_align.py models/training/test_launch.py flows/preflight/test_bad_models.py
    models/test_engines.py tasks/test_workers.py flows/test_flips.py flows/test_prefect_away.py
    flows/test_teacher_hacking.py flows/test_identity.py flows/test_methods.py
    flows/test_damage.py flows/test_opd.py flows/test_adpa.py cli/test_explain.py
    flows/test_predict.py flows/test_rerun.py flows/test_shortfall.py
""".split()
