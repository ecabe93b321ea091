import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from features.errors import BadUsage
from serving.app import make_app
from serving.keys import entry
from serving.settings import Settings

JSON = {"Content-Type": "application/json"}
BODY = json.dumps({"customers": [{"customer_id": "a", "touchpoints": []}]}).encode()
SECRET = base64.b64encode(b"s" * 24).decode()


class EmptyScorer:
    model_version = "v1"
    messages_read = (0, 0)

    def describe(self) -> dict[str, Any]:
        return {"model_version": "v1"}

    def is_quick(self, histories: Any) -> bool:
        return len(histories) == 1

    def score_histories(self, histories: Any, *_: Any, **__: Any) -> list[dict[str, object]]:
        return [{"customer_id": customer_id} for customer_id, _ in histories]


def client(**settings: Any) -> TestClient:
    return TestClient(make_app(EmptyScorer(), Settings(**settings)), base_url="http://inside")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").write_text(f"{entry('crm', 'new-key')}\n{entry('crm-old', 'old-key')}\n")
    (folder / "secrets").write_text(f"segment standard-webhooks whsec_{SECRET}\nhubspot hubspot-v3 app-secret\n")
    return client(
        key_file=folder / "keys", secret_file=folder / "secrets", public_url="https://scores.example/", rate_per_s=1e6
    )


def post(endpoint: TestClient, target: str = "/score", **headers: str) -> httpx.Response:
    return endpoint.post(target, content=BODY, headers=JSON | {n.replace("_", "-"): v for n, v in headers.items()})


def sign(secret: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def test_without_keys_anyone_is_let_in() -> None:
    assert post(client()).status_code == 200


@pytest.mark.parametrize("path", ["/score", "/explain"])
@pytest.mark.parametrize("headers", [{"Authorization": "Bearer new-key"}, {"X_API_Key": "old-key"}])
def test_each_of_several_keys_opens(guarded: TestClient, path: str, headers: dict[str, str]) -> None:
    assert post(guarded, path, **headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "no_key"),
        ({"Authorization": "Basic new-key"}, "no_key"),
        ({"Authorization": "Bearer CANARY"}, "wrong_key"),
        ({"X_API_Key": ""}, "wrong_key"),
        ({"X_API_Key": "new-key2"}, "wrong_key"),
        ({"webhook_signature": "v1,CANARY"}, "wrong_signature"),
        ({"X_HubSpot_Signature_v3": "CANARY"}, "wrong_signature"),
    ],
)
def test_without_a_right_key_or_signature_it_is_401(guarded: TestClient, headers: dict[str, str], code: str) -> None:
    response = post(guarded, **headers)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["www-authenticate"] == "Bearer"
    assert "CANARY" not in response.text


def test_a_wrong_key_is_told_before_anything_else_is_looked_at(guarded: TestClient) -> None:
    assert guarded.post("/score", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 401


def test_the_model_and_metrics_need_a_key_and_probes_page_and_description_do_not(guarded: TestClient) -> None:
    closed = [guarded.get(path).status_code for path in ("/model", "/metrics")]
    opened = [guarded.get(path).status_code for path in ("/livez", "/readyz", "/", "/openapi.json")]
    assert (closed, opened) == ([401] * 2, [200] * 4)
    assert client(keys=entry("a", "b"), open_metrics=True).get("/metrics").status_code == 200
    assert guarded.get("/model", headers={"X-API-Key": "new-key"}).status_code == 200


def test_signed_requests_are_let_in(guarded: TestClient) -> None:
    at = str(int(time.time()))
    webhook = {"webhook_id": "m1", "webhook_timestamp": at}
    signature = sign(b"s" * 24, f"m1.{at}.".encode() + BODY)
    assert post(guarded, webhook_signature=f"v1,{signature}", **webhook).status_code == 200
    signature = sign(b"app-secret", b"POSThttps://scores.example/score?a=b@c" + BODY + f"{at}000".encode())
    hubspot = {"X_HubSpot_Signature_v3": signature, "X_HubSpot_Request_Timestamp": f"{at}000"}
    assert post(guarded, "/score?a=b%40c", **hubspot).status_code == 200
    assert post(guarded, "/explain?a=b%40c", **hubspot).status_code == 401


@pytest.mark.parametrize(("field", "content"), [("key_file", None), ("key_file", b"\xff"), ("secret_file", None)])
def test_a_file_that_cannot_be_read_is_told_at_the_start(tmp_path: Path, field: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadUsage) as caught:
        client(**{field: tmp_path / "file"})
    assert caught.value.code == "unreadable_keys"
