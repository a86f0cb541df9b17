"""Commands that use trained models: chat, compare, export, serve, score-model."""
