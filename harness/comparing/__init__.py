"""A record against its baseline: deviations, thresholds and their calibration, several seeds."""
