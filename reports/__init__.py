"""What a person sees of a run: report, status, Prefect's pages. Computes no result."""
