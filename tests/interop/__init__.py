"""Real clients over TCP, compared byte by byte."""
