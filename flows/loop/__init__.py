"""Rounds of sampling, labelling, distilling and tuning: TS-Align, OPTune and TSO."""
