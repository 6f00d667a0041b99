"""Where baselines live: the store, their origin, what failed and may be accepted, files that are whole or not there."""
