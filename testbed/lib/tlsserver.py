# SPDX-License-Identifier: GPL-2.0-or-later
"""The upstream's end of DNS over TLS: decrypts record by record, and remembers what came where."""

import ipaddress
import pathlib
import ssl
import subprocess

import dnswire

RECORD_HEADER = 5


def make_certificate(path, key, addresses):
    """Make a key and a self-signed certificate for these addresses, a file each."""
    wanted = ",".join([f"IP:{ipaddress.ip_address(one)}" for one in addresses] + ["DNS:upstream"])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=upstream",
                    "-addext", f"subjectAltName={wanted}", "-keyout", str(key), "-out", path],
                   check=True, capture_output=True)


def certificate(path, addresses):
    """The same as a context of a server; the key is not kept."""
    key = pathlib.Path(f"{path}.key")
    make_certificate(path, key, addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    key.unlink()
    return context


class Session:
    """The TLS of one connection, and the place of each question in its stream of bytes."""

    def __init__(self, context, peer):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ready = False
        self._raw, self._plain = bytearray(), bytearray()
        self._offset = 0            # in the stream of bytes that the client sent
        self._began = 0             # the record in which the oldest plain byte came
        self.log = {"source": peer[0], "port": peer[1], "questions": []}

    def take(self, data):
        """Feed received bytes; yields the DNS messages that are whole now."""
        self._raw += data
        while len(self._raw) >= RECORD_HEADER:
            size = RECORD_HEADER + int.from_bytes(self._raw[3:5], "big")
            if len(self._raw) < size:
                return
            self._incoming.write(bytes(self._raw[:size]))
            del self._raw[:size]
            yield from self._record(self._offset, self._offset + size)

    def _record(self, start, end):
        self._offset = end
        plain = self._decrypt()
        if not self._plain:
            self._began = start
        self._plain += plain
        for message in dnswire.take_frames(self._plain):
            self._note(message, self._began, end)
            self._began = start
            yield message

    def _decrypt(self):
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
            plain = bytearray()
            while True:
                part = self._tls.read(65536)
                if not part:
                    return plain
                plain += part
        except ssl.SSLWantReadError:
            return plain if self._ready else b""

    def _note(self, message, start, end):
        try:
            name = dnswire.Question(message).name.decode("ascii", "replace")
        except dnswire.Malformed:
            name = ""
        self.log["questions"].append((start, end, name))

    def seal(self, plain):
        """Encrypt; the result is in output()."""
        self._tls.write(plain)

    def output(self):
        """What must be sent."""
        return self._outgoing.read()
