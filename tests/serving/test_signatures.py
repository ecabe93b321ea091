import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from features.errors import BadUsage
from serving.signatures import Secret, Signed, is_signed, read_secrets, signer_of

NOW_S = 1_700_000_000
KEY = bytes(range(24))
WEBHOOKS = Secret("segment", "standard-webhooks", KEY)
HUBSPOT = Secret("hubspot", "hubspot-v3", b"app-secret")
URL = "https://scores.example/score"
BODY = b'{"customers": []}'


def signature(secret: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def by_webhooks(at: object = NOW_S) -> Signed:
    given = signature(KEY, f"msg_1.{at}.".encode() + BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,AAAA v1,{given}"}
    return Signed("POST", URL, headers, BODY)


def by_hubspot(at_ms: object = NOW_S * 1000, query: str = "", signed_query: str = "") -> Signed:
    given = signature(b"app-secret", f"POST{URL}{signed_query}".encode() + BODY + str(at_ms).encode())
    headers = {"x-hubspot-signature-v3": given, "x-hubspot-request-timestamp": str(at_ms)}
    return Signed("POST", URL + query, headers, BODY)


def test_the_example_of_standard_webhooks_verifies() -> None:
    secrets = read_secrets("example standard-webhooks whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert signer_of(Signed("POST", URL, headers, b'{"test": 2432232314}'), secrets, 1614265330) == "example"


@pytest.mark.parametrize(("request_", "signer"), [(by_webhooks(), "segment"), (by_hubspot(), "hubspot")])
def test_a_signed_request_has_its_signer(request_: Signed, signer: str) -> None:
    assert is_signed(request_.headers)
    assert signer_of(request_, (WEBHOOKS, HUBSPOT), NOW_S) == signer
    assert signer_of(replace(request_, body=BODY + b" "), (WEBHOOKS, HUBSPOT), NOW_S) is None
    assert signer_of(request_, (replace(WEBHOOKS, secret=b"x" * 24), replace(HUBSPOT, secret=b"x")), NOW_S) is None
    assert signer_of(request_, (), NOW_S) is None


@pytest.mark.parametrize("late_s", [-301, 301])
def test_a_signature_holds_for_five_minutes(late_s: int) -> None:
    for request in (by_webhooks(), by_hubspot()):
        assert signer_of(request, (WEBHOOKS, HUBSPOT), NOW_S + late_s) is None
        assert signer_of(request, (WEBHOOKS, HUBSPOT), NOW_S + late_s // 2) is not None


@pytest.mark.parametrize("at", ["", "soon", "-1", "9" * 400, "1e9"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    for request in (by_webhooks(at), by_hubspot(at)):
        assert signer_of(request, (WEBHOOKS, HUBSPOT), NOW_S) is None


def test_hubspot_signs_the_method_and_the_url_with_some_of_its_query_decoded() -> None:
    request = by_hubspot(query="?to=a%40b&x=%20y%2Fz", signed_query="?to=a@b&x=%20y/z")
    assert signer_of(request, (HUBSPOT,), NOW_S) == "hubspot"
    assert signer_of(replace(request, url=URL), (HUBSPOT,), NOW_S) is None
    assert signer_of(replace(request, method="PUT"), (HUBSPOT,), NOW_S) is None


def test_no_signature_is_no_claim() -> None:
    assert not is_signed({"webhook-id": "msg_1"})


def test_lines_of_secrets_are_read_and_bad_ones_named_by_number_only() -> None:
    good = (
        f"# callers\nsegment standard-webhooks whsec_{base64.b64encode(KEY).decode()}\nhubspot hubspot-v3 app-secret\n"
    )
    assert read_secrets(good) == (WEBHOOKS, HUBSPOT)
    short = base64.b64encode(b"x" * 23).decode()
    with pytest.raises(BadUsage) as caught:
        read_secrets(f"{good}CANARY\na standard-webhooks CANARY!\nb standard-webhooks {short}\nc other CANARY\n")
    assert [fault.split(" of ")[0] for fault in caught.value.faults] == ["line 4", "line 5", "line 6", "line 7"]
    assert "CANARY" not in str(caught.value)
