"""Distillation over domains (DDK): more of those in which the student is further behind."""
