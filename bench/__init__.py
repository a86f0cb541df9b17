"""The wind tunnel: recipes side by side at equal cost, over seeds."""
