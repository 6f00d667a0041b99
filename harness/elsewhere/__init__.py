"""Trainings in another place: a process of their own, another commit's tree, several ranks, beside other workers."""
