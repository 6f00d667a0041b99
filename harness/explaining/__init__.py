"""From a divergence to its cause: operations, source lines, commits."""
