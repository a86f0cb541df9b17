"""DCKD and ADPA: a small policy distilled from an aligned teacher and its reference."""
