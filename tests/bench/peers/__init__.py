"""The servers libsshd is measured against, each the stock one of its library with a directory as its root."""
