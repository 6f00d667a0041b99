"""Trainings in another place: in a process of their own, and beside those of other workers."""
