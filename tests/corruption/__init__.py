"""Corrupt baselines, records and notes, read as users read them: `python -m tests.corruption`."""
