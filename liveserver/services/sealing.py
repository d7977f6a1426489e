"""Keeping secrets in PostgreSQL: sealed with keys derived from auth.secret, one for each purpose."""

import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def seal(secret: bytes, purpose: bytes, plain: bytes) -> bytes:
    """Encrypt with a key derived from `secret` for one purpose (AES-256-GCM, HKDF-SHA256)."""
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(_derive(secret, purpose)).encrypt(nonce, plain, None)


def unseal(secret: bytes, purpose: bytes, sealed: bytes) -> bytes:
    """Undo `seal`. Raises InvalidTag when the secret is another one."""
    return AESGCM(_derive(secret, purpose)).decrypt(sealed[:12], sealed[12:], None)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret)
