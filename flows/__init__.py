"""What happens in which order: the parent flow, the round sub-flow and the command line."""
