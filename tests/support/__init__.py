"""What the tests share: a running server, real clients, literal packets."""
