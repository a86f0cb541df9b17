"""On-policy distillation: the policy learns a teacher's distribution on its own answers."""
