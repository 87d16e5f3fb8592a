"""An egress proxy that opens TLS, as companies have, with an authority of its own."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Address = tuple[str, int]
Answer = Callable[[socket.socket], None]


class InspectingProxy:
    """Answers CONNECT, shows a certificate for the host, and passes what it has decrypted on.

    `upstreams` has for each host where that goes, without TLS; other hosts are refused. `asked` lists the
    hosts. `answer_connect` is what a proxy does that works otherwise. `ca_file` is the authority's
    certificate.
    """

    def __init__(self, folder: Path, upstreams: Mapping[str, Address]) -> None:
        self.asked: list[str] = []
        self.answer_connect: Answer | None = None
        self.ca_file = folder / "company-ca.pem"
        self._upstreams = upstreams
        self._context = _context(folder, self.ca_file, [*upstreams])
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1) or b"\r\n\r\n"
        host = head.split()[1].decode().removesuffix(":443")
        self.asked.append(host)
        if self.answer_connect is not None:
            self.answer_connect(client)
            return
        upstream = self._upstreams.get(host)
        if upstream is None:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            opened = self._context.wrap_socket(client, server_side=True)
        except OSError:  # the client doesn't trust the authority
            client.close()
            return
        server = socket.create_connection(upstream)
        self._open += [opened, server]
        threading.Thread(target=_pass_on, args=(server, opened), daemon=True).start()
        _pass_on(opened, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        source.close()
        target.close()


def _context(folder: Path, ca_file: Path, hosts: list[str]) -> ssl.SSLContext:
    """A server's context with a certificate for the hosts; writes that of the authority into `ca_file`."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A company's authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = _builder(authority, authority, ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), True
    )
    ca = ca.add_extension(usage, critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A proxy")])
    certificate = _builder(server, authority, key).add_extension(names, critical=False)
    ca_file.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    own = folder / "proxy.pem"
    own.write_bytes(
        certificate.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
