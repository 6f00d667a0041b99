"""Tests sent to other machines: who runs them, the job, its answer, and what both sides must have in common."""
