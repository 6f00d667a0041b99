"""Trainings on real ranks: held against one process, with faults of distribution planted, and timed."""
