"""The benchmark: this server beside OpenSSH, asyncssh and paramiko (`python -m tests.bench --help`)."""
