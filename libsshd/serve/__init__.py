"""The server at work: listener, connection, login, session, operations."""
