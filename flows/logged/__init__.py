"""A student distilled from recorded completions and judgments."""
