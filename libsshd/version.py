"""The one place that states the version of libsshd."""

__version__ = "0.1.0"
