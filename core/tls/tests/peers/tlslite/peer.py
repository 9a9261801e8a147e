"""Talks with edgetrust-tls by tlslite-ng, in both roles: what comes is printed, and each line that is read is sent."""

import argparse
import os
import socket
import sys
import threading

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.errors import TLSError, TLSRemoteAlert

import bends


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", type=int, help="the port of the server")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--identity", required=True, help="the name of the chain and of the key")
    parser.add_argument("--cipher", default="aes128gcm")
    parser.add_argument("--groups", default="secp256r1")
    parser.add_argument("--shares", default="secp256r1")
    parser.add_argument("--limit", type=int, default=16385)
    parser.add_argument("--alpn", default="")
    parser.add_argument("--label", default="")
    parser.add_argument("--bend", default="", help="the faults of this peer, each with connections of its own")
    return parser.parse_args()


def settings(options):
    found = HandshakeSettings()
    found.minVersion = found.maxVersion = (3, 4)
    found.cipherNames = [options.cipher]
    found.eccCurves = options.groups.split(",")
    found.keyShares = options.shares.split(",")
    found.dhGroups = []
    found.record_size_limit = options.limit
    found.ticketKeys = [bytearray(32)]
    found.certificate_compression_send = []
    found.certificate_compression_receive = []
    return found


def open_connection(options, listener, session, chosen, fault):
    """Makes a connection and its handshake."""
    with open(options.identity + ".pem", encoding="ascii") as file:
        chain = X509CertChain()
        chain.parsePemList(file.read())
    with open(options.identity + ".key", encoding="ascii") as file:
        key = parsePEMKey(file.read(), private=True)
    protocols = [bytearray(name, "ascii") for name in options.alpn.split(",") if name]
    raw = socket.create_connection(("127.0.0.1", options.connect)) if options.connect else listener.accept()[0]
    raw.settimeout(30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = bends.of(fault)(raw) if fault else TLSConnection(raw)
    if options.connect:
        if fault:
            connection.prepare(chosen, session)
        connection.handshakeClientCert(chain, key, session=session, settings=chosen, serverName="gateway.a.example",
                                       alpn=protocols or None)
    else:
        connection.handshakeServer(certChain=chain, privateKey=key, reqCert=True, settings=chosen,
                                   alpn=protocols or None)
    return connection


def send_lines(connection):
    """Sends what is read, and takes commands that are no data."""
    for line in sys.stdin:
        if line == "close\n":
            return
        if line == "update\n":
            for _ in connection.send_keyupdate_request(1):
                pass
            print("updated", flush=True)
        else:
            connection.write(line.encode("ascii"))


def talk(connection, options, fault):
    material = connection.keyingMaterialExporter(bytearray(options.label, "ascii"), 32)
    print(f"{connection.getVersionName()} {connection.getCipherName()}, resumed {connection.resumed}, "
          f"protocol {connection.session.appProto}, exported {material.hex().upper()}", flush=True)
    sender = threading.Thread(target=send_lines, args=[connection], daemon=True)
    if not fault:
        sender.start()
    else:
        connection.after()
    while True:
        data = connection.read(max=20000, min=1)
        if not data:
            break
        os.write(1, data)
    print("closed by the peer", flush=True)


def main():
    options = arguments()
    listener = None
    if not options.connect:
        listener = socket.create_server(("127.0.0.1", 0))
    chosen = settings(options)
    for fault in options.bend.split(","):
        session = None
        for _ in range(options.connections):
            try:
                connection = open_connection(options, listener, session, chosen, fault)
                talk(connection, options, fault)
                session = connection.session
                connection.close()
            except TLSRemoteAlert as error:
                print("alert", error.description, flush=True)
            except (TLSError, OSError) as error:
                print("error", repr(error), flush=True)
        if fault:
            print("done", fault, flush=True)


main()
