"""Bytes to messages and back, without I/O, for SFTP and for the SSH messages the server answers itself."""
