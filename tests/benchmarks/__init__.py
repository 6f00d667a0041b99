"""Programs that measure; none of them judges."""
