"""Image classifiers and their vision-language teachers."""
