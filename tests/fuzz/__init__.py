"""Fuzzing of the C core: the harnesses are C, what builds and runs them is Python."""
