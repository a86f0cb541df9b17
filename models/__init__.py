"""Policies, reward models, generation engines, losses and judges, without Prefect."""
