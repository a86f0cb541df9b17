"""Trainings: DPO, SFT and reward models, their losses, resumption, trackers."""
