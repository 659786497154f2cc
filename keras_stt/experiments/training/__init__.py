"""Training: the recipe, the batches, and runs that resume."""
