"""Best-of-n distillation: a policy learns the best of its own answers."""
