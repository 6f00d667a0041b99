"""Small training loops of every kind that torch offers, a module a family; `test_loops.py` records each of them."""
