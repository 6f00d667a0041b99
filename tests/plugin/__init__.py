"""Tests of the pytest plugin, each in a small project of its own."""
