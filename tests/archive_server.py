"""A web server on this machine for one archive, or for some files, which can be told to misbehave."""

import hashlib
import io
import sys
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from npcnn.datasets import Archive, File, Files

FOLDER = "cifar-10-batches-bin"


def pack(files, members=(), *, folder=FOLDER):
    """Return a .tar.gz of a folder with these files, and then of other members, (TarInfo, content)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        directory = tarfile.TarInfo(folder)
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
        plain = [(tarfile.TarInfo(f"{folder}/{name}"), content) for name, content in files.items()]
        for member, content in [*plain, *members]:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class ArchiveServer(ThreadingHTTPServer):
    """Serves `content`, or what `files` has under the path, with Range as RFC 9110 has it.

    `ranges` are those asked for so far, `paths` the paths.

    `behaviour` is "good", "no range", "wrong range" (another part than asked for), "breaks off" (after half
    of what is left), "stalls" (there), "silent" (takes requests, answers none), "chunked" (tells no length),
    or a status, such as 404.
    """

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.behaviour, self.ranges, self.paths, self.files = content, "good", [], [], {}
        self.released = threading.Event()  # lets what stalls or is silent end

    def archive(self, **other):
        """Return the description of the archive as it is now, but for what `other` says."""
        url, md5 = f"http://127.0.0.1:{self.server_address[1]}/archive.tar.gz", hashlib.md5(self.content).hexdigest()
        true = {"name": "CIFAR-10", "url": url, "size": len(self.content), "md5": md5, "folder": FOLDER}
        return Archive(**true | other)

    def described_files(self, name, folder):
        """Return the description of a data set that consists of `files` as they are now."""
        address = f"http://127.0.0.1:{self.server_address[1]}/"
        files = (
            File(file, address + file, len(content), hashlib.md5(content).hexdigest())
            for file, content in self.files.items()
        )
        return Files(name, folder, tuple(files))

    def handle_error(self, request, client_address):
        """Say nothing of a client that hung up: some tests are about that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        """Answer as the server's behaviour has it."""
        content, behaviour = self.server.files.get(self.path[1:], self.server.content), self.server.behaviour
        self.server.paths.append(self.path[1:])
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        if behaviour == "silent":
            self.server.released.wait(600)
            return
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and behaviour != "no range" else 0
        if begin and behaviour == "wrong range":
            begin -= 1
        if begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if behaviour != "chunked":
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        half = begin + (len(content) - begin) // 2
        self.wfile.write(content[begin:half])
        if behaviour == "breaks off":
            return
        if behaviour == "stalls":
            self.wfile.flush()
            self.server.released.wait(600)
            return
        self.wfile.write(content[half:])

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def serving(content):
    """Run an `ArchiveServer` in a thread."""
    with ArchiveServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
