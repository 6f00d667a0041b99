"""Adapters, each against its real framework."""
