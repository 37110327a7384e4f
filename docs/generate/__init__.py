"""Makes what the tables of the library say: docs/reference/, docs/examples.md, and the tables of docs/protocol.md."""
