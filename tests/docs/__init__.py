"""README and guides: what makes them, and what holds them to the code."""
