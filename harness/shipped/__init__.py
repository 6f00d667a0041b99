"""What we train ourselves: recipes, models, data sets, batches, the loop."""
