"""TensorBoard's event files: a record written to look at, the scalars of any tool read."""
