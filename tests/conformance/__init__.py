"""Tests of other projects, run against libsshd as they are."""
