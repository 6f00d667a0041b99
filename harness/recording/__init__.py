"""The recorder, and what it hangs on a training: hooks, steps, numbers of tensors, determinism, precision, states."""
