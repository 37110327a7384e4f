"""Property tests keep no database and are not timed."""

from hypothesis import settings

settings.register_profile("wire", database=None, deadline=None)
settings.load_profile("wire")
