"""The gate itself: what plain `pytest --mpl` runs."""
