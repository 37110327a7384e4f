"""File systems behind the requests of a session: one Protocol, several kinds."""
