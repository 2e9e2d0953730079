"""What one streaming call costs, by the client that makes it."""

import datetime
import ipaddress
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.answering import HOST
from benchmarks.children import run_child


@dataclass(frozen=True, slots=True)
class Way:
    """One client, over TLS or not."""

    name: str
    way: str
    scheme: str
    calls: int
    """How many are measured: enough for the resolution of CPU time."""
    against: "Way | None" = None
    """The bare loop that its cost is compared with."""


TLS = Way("httpx, bare keep-alive loop, TLS", "bare", "https", 2000)
BARE = Way("httpx, bare keep-alive loop", "bare", "http", 2000)
PACED = Way("httpx, bare, 50 tasks, a call each 0.8 s", "paced", "http", 600)

WRITER = Way("cardbot's CardWriter, 50 cards, a frame each 0.8 s", "writer", "http", 600, PACED)

WAYS = (
    TLS,
    Way("alibabacloud-dingtalk async, as it ships, TLS", "official", "https", 150, TLS),
    BARE,
    Way("cardbot's OpenApi.stream", "open_api", "http", 2000, BARE),
    PACED,
    WRITER,
)
"""cardbot's own rows are without TLS: on this machine it takes no certificate but those of public authorities. TLS on a
kept connection would cost them what it costs the bare loop, the difference between its two rows."""


@dataclass(frozen=True, slots=True)
class CallCost:
    """One row."""

    way: Way
    cpu: float
    """Seconds of CPU for a call."""
    connections: int
    """Opened, for the calls measured and those before the count."""
    ratio: float
    """CPU against the bare loop of the same kind; 1 for these loops themselves."""


async def measure() -> list[CallCost]:
    """All rows, one after the other."""
    with certificate() as path:
        found = {way: await _measure(way, path) for way in WAYS}
    return [
        CallCost(way, cpu, opened, ratio=cpu / found[way.against or way][0]) for way, (cpu, opened) in found.items()
    ]


async def measure_one(way: Way) -> float:
    """Seconds of CPU for a call."""
    with certificate() as path:
        cpu, _ = await _measure(way, path)
    return cpu


async def _measure(way: Way, path: Path) -> tuple[float, int]:
    """CPU seconds per call, and connections opened."""
    encrypted = way.scheme == "https"
    async with run_child("benchmarks.answering", {"certificate": str(path) if encrypted else ""}) as server:
        url = (await server.receive())["url"]
        async with run_child(
            "benchmarks.contenders.callers",
            {"way": way.way, "url": url, "calls": way.calls},
            SSL_CERT_FILE=str(
                path
            ),  # what Python's default TLS contexts and httpx trust beside, or instead of, the rest
        ) as caller:
            cpu = await caller.receive()
            await server.send("count")
            opened = await server.receive()
    return cpu / way.calls, opened


@contextmanager
def certificate() -> Iterator[Path]:
    """A file with a key and a certificate for this machine that signs itself, for as long as the block runs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "local.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        yield path
