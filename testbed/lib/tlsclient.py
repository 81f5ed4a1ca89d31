# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients' end of DNS over TLS (RFC 7858), for sockets that never block."""

import ssl


def _context():
    """The resolver's certificate is of the testbed's own making, and anybody's will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


_CONTEXT = _context()


class Session:
    """The TLS of one connection, whose first plain bytes are known when it begins."""

    def __init__(self, plain):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _CONTEXT.wrap_bio(self._incoming, self._outgoing)
        self._plain = plain
        self._go_on()

    def _go_on(self):
        """The handshake, then what waited for its end; whether it is over."""
        if not self._plain:
            return True
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._tls.write(self._plain)
        self._plain = b""
        return True

    def take(self, data):
        """Feed received bytes; returns the plain ones."""
        self._incoming.write(data)
        plain = bytearray()
        if not self._go_on():
            return plain
        try:
            while part := self._tls.read(65536):
                plain += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return plain

    def output(self):
        """What must be sent."""
        return self._outgoing.read()
