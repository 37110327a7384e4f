"""A session on standard input and output, without SSH and without a command's precautions, so that it can be watched:
`python -m tests.support.served ROOT MODE`.
"""

import sys

from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.session import context_without_server
from libsshd.serve.stdio import make_pipe, make_session, serve
from libsshd.settings import Settings

if __name__ == "__main__":
    settings = Settings(protocol_version=6, allow_links=True, upload_mode=sys.argv[2])
    with RootedFileSystem(sys.argv[1]) as fs:
        pipe = make_pipe(0, 1)
        serve(pipe, make_session(pipe, context_without_server(settings, fs)))
