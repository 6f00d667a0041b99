"""From a divergence to its cause: operations and source lines."""
