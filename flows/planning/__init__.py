"""What a run would do: check, plan, preview and outlook; computes nothing."""
