"""The header of an id_token: every allowed algorithm, and unknown parameters."""

import time

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from providers.oidc import provider
from services.oauth.id_token import Expected, verify
from services.oauth.signed_jwt import InvalidToken

NOW = time.time()
EXPECTED = Expected(("https://login.example.org",), "munjigi", "n-1", "access", provider.algorithms, NOW)
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def key_for(alg: str) -> Key:
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key(CURVES[alg]) if alg in CURVES else RSAKey.generate_key(2048)


def token(key: Key, **header: object) -> str:
    now = int(NOW)
    claims = {"iss": EXPECTED.issuers[0], "aud": EXPECTED.client_id, "sub": "1", "nonce": EXPECTED.nonce}
    lenient = jws.JWSRegistry(algorithms=[str(header["alg"])], strict_check_header=False)
    return jwt.encode(dict(header), {**claims, "iat": now, "exp": now + 60}, key, registry=lenient)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning:joserfc.jws")
@pytest.mark.parametrize("alg", provider.algorithms)
def test_a_token_of_each_allowed_algorithm_is_verified(alg: str) -> None:
    key = key_for(alg)
    assert verify(token(key, alg=alg, kid="1"), lambda _: [key], EXPECTED)["sub"] == "1"
    with pytest.raises(InvalidToken, match="signature"):
        verify(token(key_for(alg), alg=alg, kid="1"), lambda _: [key], EXPECTED)


def test_unknown_header_parameters_are_ignored() -> None:
    key = key_for("ES256")
    assert verify(token(key, alg="ES256", tenant="7", x5t="abc"), lambda _: [key], EXPECTED)["sub"] == "1"
