"""The faults of a hostile peer: tlslite-ng's own state machine, with messages left out, repeated, changed or added.

Each fault is a function of the connection, of the name of a message that is due and of the message. It returns the
messages that are sent in its place, or None for the message itself.
"""

from tlslite.api import TLSConnection
from tlslite.constants import ContentType
from tlslite.messages import Message, RecordHeader3

HANDSHAKE, ALERT, DATA, CCS = (ContentType.handshake, ContentType.alert, ContentType.application_data,
                               ContentType.change_cipher_spec)


def raw(kind, octets):
    return Message(kind, bytearray(octets))


def message(kind, body=b""):
    return raw(HANDSHAKE, bytes([kind]) + len(body).to_bytes(3, "big") + bytes(body))


def changed(found, old, new):
    """Returns the message with octets changed, which must be there once."""
    octets = bytes(found.write())
    assert octets.count(old) == 1, (octets.hex(), old.hex())
    octets = octets.replace(old, new)
    return message(octets[0], octets[4:])


def flipped(found):
    octets = bytearray(found.write())
    octets[-1] ^= 1
    return raw(HANDSHAKE, octets)


def inner(kind, octets):
    """A protected record of a kind that tlslite-ng would not protect: the type that it adds itself is padding."""
    return raw(0, bytes(octets) + bytes([kind]))


class Hello:
    """A hello message in its parts."""

    def __init__(self, found):
        octets = bytes(found.write())
        self.kind, body = octets[0], octets[4:]
        at = 34
        self.version, self.random = body[:2], body[2:34]
        self.session = body[at + 1:at + 1 + body[at]]
        at += 1 + body[at]
        if self.kind == 1:
            size = int.from_bytes(body[at:at + 2], "big")
            self.suites, at = body[at + 2:at + 2 + size], at + 2 + size
            self.compression, at = body[at + 1:at + 1 + body[at]], at + 1 + body[at]
        else:
            self.suites, self.compression, at = body[at:at + 2], body[at + 2:at + 3], at + 3
        self.extensions, end = [], at + 2 + int.from_bytes(body[at:at + 2], "big")
        at += 2
        while at < end:
            kind, size = int.from_bytes(body[at:at + 2], "big"), int.from_bytes(body[at + 2:at + 4], "big")
            self.extensions.append((kind, body[at + 4:at + 4 + size]))
            at += 4 + size

    def without(self, *kinds):
        self.extensions = [one for one in self.extensions if one[0] not in kinds]
        return self

    def having(self, kind, data=b""):
        self.extensions.append((kind, data))
        return self

    def instead(self, kind, data):
        assert any(one[0] == kind for one in self.extensions), kind
        self.extensions = [(kind, data) if one[0] == kind else one for one in self.extensions]
        return self

    def sent(self):
        body = self.version + self.random + bytes([len(self.session)]) + self.session
        if self.kind == 1:
            body += len(self.suites).to_bytes(2, "big") + self.suites
            body += bytes([len(self.compression)]) + self.compression
        else:
            body += self.suites + self.compression
        return message(self.kind, body + extensions(self.extensions))


def extensions(found):
    octets = b"".join(kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in found)
    return len(octets).to_bytes(2, "big") + octets


# What a client does, and at which message.
POINT = bytes.fromhex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f"
                      "9e162bce33576b315ececbb6406837bf51f5")


def shares(*found):
    octets = b"".join(group.to_bytes(2, "big") + len(key).to_bytes(2, "big") + key for group, key in found)
    return len(octets).to_bytes(2, "big") + octets


def hello(change):
    return {"ClientHello": lambda _, found: [change(Hello(found)).sent()]}


def session_of(found, octets):
    found.session = octets
    return found


def with_field(**fields):
    def change(found):
        for name, value in fields.items():
            setattr(found, name, value)
        return found
    return change


def record(kind, octets):
    """A record that this side does not protect, whatever its state."""
    return ("plain", kind, octets)


OFFER = (b"\0\x0a\0\4name\0\0\0\0" + b"\0\x21\x20" + bytes(32))

CLIENT = {
    "skip-certificate": {"Certificate": lambda *_: [], "CertificateVerify": lambda *_: []},
    "skip-certificate-verify": {"CertificateVerify": lambda *_: []},
    "certificate-twice": {"Certificate": lambda _, found: [found, found]},
    "verify-first": {"Certificate": lambda *_: [], "CertificateVerify": lambda _, found: [found]},
    "empty-certificate": {"Certificate": lambda *_: [message(11, bytes(4))]},
    "compressed-certificate": {"Certificate": lambda *_: [message(25, b"\0\1\0\0\1\0\0\1x")]},
    "certificate-with-context": {"Certificate": lambda *_: [message(11, b"\1x\0\0\0")]},
    "certificate-that-ends-early": {"Certificate": lambda *_: [message(11, b"\0\0\0\5\0\0\1")]},
    "bad-signature": {"CertificateVerify": lambda _, found: [flipped(found)]},
    "another-scheme": {"CertificateVerify": lambda _, found: [changed(found, b"\4\3\0", b"\x08\4\0")]},
    "bad-finished": {"Finished": lambda _, found: [flipped(found)]},
    "short-finished": {"Finished": lambda *_: [message(20, bytes(31))]},
    "finished-and-more": {"Finished": lambda _, found: [raw(HANDSHAKE, found.write() + bytearray(b"\x18\0\0\1\0"))]},
    "hello-twice": {"ClientHello": lambda _, found: [found, record(HANDSHAKE, found.write())]},
    "hello-and-more": {"ClientHello": lambda _, found: [("counted", found, b"\x14\0\0\0")]},
    "empty-fragment": {"ClientHello": lambda _, found: [raw(HANDSHAKE, b""), found]},
    "empty-protected-fragment": {"Certificate": lambda _, found: [raw(HANDSHAKE, b""), found]},
    "interrupted-message": {"Certificate": lambda _, found: [raw(HANDSHAKE, found.write()[:9]), raw(ALERT, b"\1\x5a")]},
    "data-first": {"ClientHello": lambda *_: [raw(DATA, b"data")]},
    "data-in-handshake": {"Certificate": lambda *_: [raw(DATA, b"data")]},
    "heartbeat": {"ClientHello": lambda *_: [raw(24, b"\1\0\0")]},
    "protected-heartbeat": {"Certificate": lambda *_: [raw(24, b"\1\0\0")]},
    "no-content-type": {"Certificate": lambda *_: [raw(0, b"")]},
    "plain-certificate": {"Certificate": lambda _, found: [record(HANDSHAKE, found.write())]},
    "change-cipher-spec-first": {"ClientHello": lambda *_: [raw(CCS, b"\1")]},
    "change-cipher-spec-of-two": {"Certificate": lambda *_: [record(CCS, b"\2")]},
    "protected-change-cipher-spec": {"Certificate": lambda *_: [inner(CCS, b"\1")]},
    "many-change-cipher-specs": {"Certificate": lambda *_: [record(CCS, b"\1")] * 40},
    "too-long-record": {"ClientHello": lambda *_: [("octets", b"\x16\3\3\x41\x01" + bytes(600))]},
    "too-long-protected-record": {"Certificate": lambda *_: [("whole", DATA, bytes(16385))]},
    "huge-message": {"Certificate": lambda *_: [raw(HANDSHAKE, b"\x0b\xff\xff\xff" + bytes(9000))]},
    "early-data": {"ClientHello": lambda _, found: [Hello(found).having(42).sent(), record(DATA, bytes(100))]},
    "sslv2": {"ClientHello": lambda *_: [("octets", b"\x80\x2e\1\3\1\0\x15\0\0\0\x10\1\0\x80" + bytes(34))]},
    "http": {"ClientHello": lambda *_: [("octets", b"GET / HTTP/1.1\r\n\r\n")]},
    "tls12": hello(lambda found: found.without(43)),
    "tls12-of-versions": hello(lambda found: found.instead(43, b"\4\3\3\3\2")),
    "no-extensions": {"ClientHello": lambda _, found: [message(1, b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0")]},
    "old-legacy-version": hello(with_field(version=b"\3\1")),
    "compression": hello(with_field(compression=b"\1\0")),
    "no-compression-method": hello(with_field(compression=b"")),
    "odd-suites": hello(with_field(suites=b"\x13\1\0")),
    "no-suites": hello(with_field(suites=b"")),
    "long-session-id": hello(with_field(session=bytes(33))),
    "extension-twice": hello(lambda found: found.having(0xfafa).having(0xfafa)),
    "many-extensions": hello(lambda found: [found.having(0xe000 + number) for number in range(60)][-1]),
    "no-key-share": hello(lambda found: found.without(51)),
    "no-groups": hello(lambda found: found.without(10)),
    "no-signature-algorithms": hello(lambda found: found.without(13)),
    "share-twice": hello(lambda found: found.instead(51, shares((23, POINT), (23, POINT)))),
    "share-of-no-group": hello(lambda found: found.instead(10, b"\0\2\0\x1d")),
    "empty-share": hello(lambda found: found.instead(51, shares((23, b"")))),
    "point-not-on-curve": hello(lambda found: found.instead(51, shares((23, b"\4" + bytes(63) + b"\1")))),
    "compressed-point": hello(lambda found: found.instead(51, shares((23, b"\3" + POINT[1:33])))),
    "point-at-infinity": hello(lambda found: found.instead(51, shares((23, b"\0")))),
    "small-record-size-limit": hello(lambda found: found.instead(28, b"\0\x3f")),
    "two-names": hello(lambda found: found.instead(0, b"\0\x08\0\0\1a\0\0\1b")),
    "name-of-another-kind": hello(lambda found: found.instead(0, b"\0\4\1\0\1a")),
    "key-not-last": hello(lambda found: found.without(45).having(45, b"\1\1").having(41, OFFER).having(0xfafa)),
    "key-without-modes": hello(lambda found: found.without(45).having(41, OFFER)),
    "more-binders": hello(lambda found: found.without(45).having(45, b"\1\1").having(
        41, OFFER[:12] + b"\0\x42" + (b"\x20" + bytes(32)) * 2)),
    "short-binder": hello(lambda found: found.without(45).having(45, b"\1\1").having(
        41, OFFER[:12] + b"\0\x11\x10" + bytes(16))),
}

# What follows a handshake.
AFTER = {
    "client-hello-after": [message(1, bytes(50))],
    "hello-request-after": [message(0)],
    "request-after": [message(13, b"\1x\0\x08\0\x0d\0\4\0\2\4\3")],
    "certificate-after": [message(11, bytes(4))],
    "finished-after": [message(20, bytes(32))],
    "key-update-of-three": [message(24, b"\3")],
    "long-key-update": [message(24, b"\0\0")],
    "key-update-and-more": [raw(HANDSHAKE, b"\x18\0\0\1\0\x18\0\0\1\0")],
    "interrupted-key-update": [raw(HANDSHAKE, b"\x18\0"), raw(DATA, b"data")],
    "ticket-of-the-client": [message(4, bytes(20))],
    "change-cipher-spec-after": [record(CCS, b"\1")],
    "plain-data-after": [record(DATA, b"data of nobody that is longer than a tag")],
    "plain-alert-after": [record(ALERT, b"\2\x28")],
    "empty-alert": [raw(ALERT, b"")],
    "long-alert": [raw(ALERT, b"\1\0\0")],
    "empty-data-without-end": [inner(DATA, b"")] * 40,
    "too-long-data": [("whole", DATA, bytes(16385))],
    "long-lived-ticket": [message(4, (604801).to_bytes(4, "big") + bytes(4) + b"\0\0\1x\0\0")],
    "empty-ticket": [message(4, bytes(4) + bytes(4) + b"\0\0\0\0\0")],
}


def encrypted(change):
    def bend(_, found):
        octets = bytes(found.write())
        return [message(8, extensions(change))]
    return {"EncryptedExtensions": bend}


def server_hello(change):
    return {"ServerHello": lambda _, found: [change(Hello(found)).sent()]}


RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def retry(*found):
    def bend(_, hello_found):
        answer = Hello(hello_found)
        answer.random, answer.extensions = RETRY, [(43, b"\3\4"), *found]
        return [answer.sent()]
    return {"ServerHello": bend}


COOKIE = (44, b"\0\4cook")


def retry_twice(connection, found):
    first = retry(COOKIE)["ServerHello"](connection, found)
    return first + first


SERVER = {
    "skip-extensions": {"EncryptedExtensions": lambda *_: []},
    "skip-certificate": {"Certificate": lambda *_: []},
    "skip-certificate-verify": {"CertificateVerify": lambda *_: []},
    "ticket-for-finished": {"Finished": lambda *_: [message(4, bytes(20))]},
    "extensions-twice": {"EncryptedExtensions": lambda _, found: [found, found]},
    "request-twice": {"CertificateRequest": lambda _, found: [found, found]},
    "certificate-twice": {"Certificate": lambda _, found: [found, found]},
    "verify-first": {"Certificate": lambda *_: [message(15, b"\4\3\0\0")]},
    "request-late": {"Certificate": lambda _, found: [found, message(13, b"\0\0\x08\0\x0d\0\4\0\2\4\3")]},
    "hello-twice": {"EncryptedExtensions": lambda connection, found: [record(HANDSHAKE, b"\2\0\0\0"), found]},
    "finished-first": {"EncryptedExtensions": lambda *_: [message(20, bytes(32))]},
    "key-update-in-handshake": {"EncryptedExtensions": lambda *_: [message(24, b"\0")]},
    "hello-request": {"EncryptedExtensions": lambda *_: [message(0)]},
    "client-hello": {"ServerHello": lambda *_: [message(1, bytes(50))]},
    "bad-signature": {"CertificateVerify": lambda _, found: [flipped(found)]},
    "another-scheme": {"CertificateVerify": lambda _, found: [changed(found, b"\4\3\0", b"\x08\4\0")]},
    "bad-finished": {"Finished": lambda _, found: [flipped(found)]},
    "finished-and-more": {"Finished": lambda _, found: [raw(HANDSHAKE, found.write() + bytearray(b"\x18\0\0\1\0"))]},
    "empty-certificate": {"Certificate": lambda *_: [message(11, bytes(4))]},
    "compressed-certificate": {"Certificate": lambda *_: [message(25, b"\0\1\0\0\1\0\0\1x")]},
    "certificate-with-context": {"Certificate": lambda *_: [message(11, b"\1x\0\0\0")]},
    "certificate-with-extension": {"Certificate": lambda *_: [message(11, b"\0\0\0\x0a\0\0\1x\0\4\0\5\0\0")]},
    "request-with-context": {"CertificateRequest": lambda *_: [message(13, b"\1x\0\x08\0\x0d\0\4\0\2\4\3")]},
    "request-of-nothing": {"CertificateRequest": lambda *_: [message(13, b"\0\0\0")]},
    "request-of-rsa": {"CertificateRequest": lambda *_: [message(13, b"\0\0\x08\0\x0d\0\4\0\2\x08\4")]},
    "huge-message": {"Certificate": lambda *_: [raw(HANDSHAKE, b"\x0b\xff\xff\xff" + bytes(9000))]},
    "empty-fragment": {"EncryptedExtensions": lambda _, found: [raw(HANDSHAKE, b""), found]},
    "interrupted-message": {"Certificate": lambda _, found: [raw(HANDSHAKE, found.write()[:9]), raw(ALERT, b"\1\x5a")]},
    "data-in-handshake": {"EncryptedExtensions": lambda *_: [raw(DATA, b"data")]},
    "data-first": {"ServerHello": lambda *_: [raw(DATA, b"data")]},
    "heartbeat": {"ServerHello": lambda *_: [raw(24, b"\1\0\0")]},
    "no-content-type": {"EncryptedExtensions": lambda *_: [raw(0, b"")]},
    "change-cipher-spec-of-two": {"EncryptedExtensions": lambda *_: [record(CCS, b"\2")]},
    "protected-change-cipher-spec": {"EncryptedExtensions": lambda *_: [inner(CCS, b"\1")]},
    "many-change-cipher-specs": {"EncryptedExtensions": lambda *_: [record(CCS, b"\1")] * 40},
    "too-long-record": {"ServerHello": lambda *_: [("octets", b"\x16\3\3\x41\x01" + bytes(600))]},
    "too-long-protected-record": {"EncryptedExtensions": lambda *_: [("whole", DATA, bytes(16385))]},
    "unknown-extension": encrypted([(0xfafa, b"")]),
    "extension-twice": encrypted([(10, b""), (10, b"")]),
    "share-in-extensions": encrypted([(51, b"")]),
    "early-data": encrypted([(42, b"")]),
    "name-with-data": encrypted([(0, b"\0")]),
    "protocol-not-offered": encrypted([(16, b"\0\3\2h2")]),
    "small-record-size-limit": encrypted([(28, b"\0\x3f")]),
    "large-record-size-limit": encrypted([(28, b"\x40\2")]),
    "tls12": server_hello(lambda found: found.without(43, 51).having(0xff01, b"\0").having(23)),
    "tls12-without-extensions": server_hello(lambda found: found.without(43, 51)),
    "tls12-by-version": server_hello(lambda found: found.instead(43, b"\3\3")),
    "old-legacy-version": server_hello(with_field(version=b"\3\1")),
    "suite-not-offered": server_hello(with_field(suites=b"\x13\2")),
    "session-id": server_hello(with_field(session=bytes(32))),
    "compression": server_hello(with_field(compression=b"\1")),
    "no-share": server_hello(lambda found: found.without(51)),
    "share-of-another-group": server_hello(lambda found: found.instead(51, b"\0\x1d\0\x20" + bytes(32))),
    "point-not-on-curve": server_hello(lambda found: found.instead(51, b"\0\x17\0\x41\4" + bytes(63) + b"\1")),
    "key-not-offered": server_hello(lambda found: found.having(41, b"\0\0")),
    "cookie-in-hello": server_hello(lambda found: found.having(*COOKIE)),
    "hello-extension-twice": server_hello(lambda found: found.having(43, b"\3\4")),
    "hello-unknown-extension": server_hello(lambda found: found.having(0xfafa)),
    "hello-and-more": {"ServerHello": lambda _, found: [("counted", found, b"\x08\0\0\2\0\0")]},
    "retry-for-nothing": retry(),
    "retry-for-the-share": retry((51, b"\0\x17")),
    "retry-with-empty-cookie": retry((44, b"\0\0")),
    "retry-with-long-cookie": retry((44, b"\x07\xd0" + bytes(2000))),
    "retry-twice": {"ServerHello": retry_twice},
}


class Bent(TLSConnection):
    """A connection that sends other messages than those that are due."""

    bend, later, wrong_binder = {}, None, False

    def prepare(self, settings, session):
        """Makes the binder of a known key wrong, for the second connection."""
        if self.wrong_binder and session:
            session.resumptionMasterSecret[0] ^= 1

    def _sendMsg(self, msg, randomizeFirstBlock=True, update_hashes=True):
        bend = self.bend.get(type(msg).__name__)
        instead = bend(self, msg) if bend else [msg]
        for one in instead:
            if isinstance(one, tuple):
                self._send_record(*one)
                continue
            for result in super()._sendMsg(one, randomizeFirstBlock, update_hashes):
                yield result

    def _send_record(self, how, *what):
        self.sock.flush()
        self.sock.buffer_writes = False
        if how == "counted":
            self._handshake_hash.update(what[0].write())
            for _ in super()._sendMsg(raw(HANDSHAKE, what[0].write() + bytearray(what[1])), update_hashes=False):
                pass
        elif how == "octets":
            self.sock.sendall(what[0])
        elif how == "plain":
            header = RecordHeader3().create((3, 3), what[0], len(what[1]))
            self.sock.sendall(header.write() + bytearray(what[1]))
        else:
            for _ in self._sendMsgThroughSocket(raw(*what)):
                pass

    def _queue_message(self, msg):
        for _ in self._sendMsg(msg):
            pass

    def _queue_flush(self):
        self.sock.flush()
        return iter(())

    def after(self):
        for one in self.later or []:
            if isinstance(one, tuple):
                self._send_record(*one)
            else:
                for _ in self._sendMsg(one):
                    pass


def of(name):
    """Returns the class of a fault: "client.NAME", "server.NAME", "after.NAME"."""
    role, _, name = name.partition(".")
    if role == "after":
        return type("BentAfter", (Bent,), {"later": AFTER[name]})
    if name == "wrong-binder":
        return type("BentBinder", (Bent,), {"wrong_binder": True})
    return type("BentHandshake", (Bent,), {"bend": {"client": CLIENT, "server": SERVER}[role][name]})
