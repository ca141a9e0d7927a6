"""requests and urllib3 through squid, in clear and by TLS, with a password."""

from __future__ import annotations

import hashlib
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.exceptions import ProxyError

from connect_tunnel import ProxyAuthenticationRequired
from connect_tunnel.adapters.requests import TunnelAdapter, proxy_response
from connect_tunnel.adapters.urllib3 import TunnelPoolManager
from connect_tunnel.adapters.urllib3 import proxy_response as urllib3_proxy_response
from tests.loopback.web_origin import BLOCK, WebOrigin, digest_of

from .ring import USER, Port, Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .entrance import Entrance

SIZE = 100 << 20


@pytest.fixture(params=["squid-basic", "squid-tls-basic"])
def entrance(request: pytest.FixtureRequest, enter: Callable[[str], Entrance]) -> Entrance:
    return enter(request.param)


@pytest.fixture
def origin(ring: Ring) -> Iterator[WebOrigin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ring.target_authority.cert, ring.target_authority.key)
    with WebOrigin(context) as server:
        yield server


def tunnelled(ring: Ring, via: Any) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a bundle of authorities in the environment would go first
    session.verify = str(ring.target_authority.ca)
    adapter = TunnelAdapter(via, pool_maxsize=50, pool_block=True)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@pytest.fixture
def session(ring: Ring, entrance: Entrance) -> Iterator[requests.Session]:
    with tunnelled(ring, entrance.via(ring)) as session:
        yield session


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_get(session: requests.Session, origin: WebOrigin, scheme: str) -> None:
    for tag in range(3):
        response = session.get(origin.at(f"/echo/{tag}", scheme), timeout=10)
        assert response.text == str(tag)
        answer = proxy_response(response)
        assert answer is not None
        assert answer.status == 200
    assert len(set(origin.peers)) == 1


def test_a_hundred_megabytes_each_way(session: requests.Session, origin: WebOrigin) -> None:
    digest = hashlib.sha256()
    with session.get(origin.at(f"/bytes/{SIZE}"), stream=True, timeout=30) as response:
        for data in response.iter_content(1 << 18):
            digest.update(data)
    expected = digest_of(SIZE)
    assert digest.hexdigest() == expected
    blocks = (BLOCK for _ in range(SIZE // len(BLOCK)))
    response = session.post(origin.at("/digest"), data=blocks, timeout=30)
    assert response.text == expected


def test_t23_fifty_threads_none_crossed(session: requests.Session, origin: WebOrigin) -> None:
    def echoed(tag: int) -> bool:
        return session.get(origin.at(f"/echo/{tag}"), timeout=30).text == str(tag)

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(echoed, range(200)))
    assert len(set(origin.peers)) <= 50


def test_redirects_across_hosts(session: requests.Session, origin: WebOrigin) -> None:
    last = origin.at("/echo/there", "http", "127.0.0.1")
    url = origin.at(f"/to?url={last}", "https", "localhost")
    response = session.get(url, timeout=10)
    assert (response.text, len(response.history)) == ("there", 1)
    assert "proxy-authorization" not in str(origin.requests).lower()


def test_a_refusal_with_its_page(session: requests.Session, ring: Ring) -> None:
    where = f"localhost:{ring.port(Port.FORBIDDEN)}"
    with pytest.raises(ProxyError) as caught:
        session.get(f"https://{where}/", timeout=10)
    answer = proxy_response(caught.value)
    assert answer is not None
    assert (answer.status, answer.headers["x-squid-error"]) == (403, "ERR_ACCESS_DENIED 0")
    assert b"<html" in answer.body
    assert answer.complete
    assert f"refused the tunnel to {where} (403 Forbidden)" in str(caught.value)


def test_a_password_that_is_wrong(ring: Ring, entrance: Entrance, origin: WebOrigin) -> None:
    via = entrance.via(ring, auth=(USER, "open sesame"))
    with tunnelled(ring, via) as session, pytest.raises(ProxyError) as caught:
        session.get(origin.at(), timeout=10)
    assert isinstance(caught.value.__cause__, ProxyAuthenticationRequired)
    assert "sesame" not in f"{caught.value} {caught.value!r}"
    assert origin.requests == []


def test_urllib3(ring: Ring, entrance: Entrance, origin: WebOrigin) -> None:
    authority = str(ring.target_authority.ca)
    with TunnelPoolManager(entrance.via(ring), ca_certs=authority, timeout=20) as pool:
        response = pool.request("GET", origin.at("/echo/x"))
        assert response.data == b"x"
        answer = urllib3_proxy_response(response)
        assert answer is not None
        assert answer.status == 200
        digest = hashlib.sha256()
        response = pool.request("GET", origin.at(f"/bytes/{SIZE}"), preload_content=False)
        for data in response.stream(1 << 18):
            digest.update(data)
        response.release_conn()
        assert digest.hexdigest() == digest_of(SIZE)
    assert len(set(origin.peers)) == 1
