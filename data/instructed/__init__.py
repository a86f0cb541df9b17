"""Everyday tasks with instructions that can be checked, of the kinds that IFEval has.

`python -m data.instructed OUT_DIR` writes prompts to train on and to measure by; see
docs/instructions.md. IFEval: Zhou et al. 2023, arXiv 2311.07911.
"""
