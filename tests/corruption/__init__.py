"""Thousands of corrupt baselines, records and notes, read the way that users read them: `python -m tests.corruption`."""
