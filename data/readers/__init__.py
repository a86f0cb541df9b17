"""Files that users bring: prompts, preferences, judgments, recorded answers."""
