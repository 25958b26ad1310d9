"""Keys for `ASSERTION_PRIVATE_KEY`, as PEM."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@cache
def _key(name: str, curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def private_pem(name: str = "current", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> str:
    """Return a private key, the same for each call with this name."""
    key = _key(name, curve)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(name: str = "current") -> str:
    """Return the public key of `private_pem(name)`."""
    key = _key(name, ec.SECP256R1)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
