"""The evidence: how many one-line faults the gate catches, and how many benign changes alarm. Read README.md."""
