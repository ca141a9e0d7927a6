"""The choice among schemes: the strongest first, each once, and what worked before at once."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, cast

import pytest

from connect_tunnel._route import Hop
from connect_tunnel.auth import Auth, Basic, Bearer, Digest, Password, Prompt, Strongest
from connect_tunnel.auth._auth import Unable
from connect_tunnel.auth._scheme import Scheme
from tests.core.flows import FORBIDDEN, GRANTED, PROXY, UNAUTHORIZED, talk, wants

if TYPE_CHECKING:
    from connect_tunnel import Challenge, ProxyResponse
    from connect_tunnel.auth import Exchange, Flow

RANKS = {"Negotiate": 5, "Digest": 4, "NTLM": 3, "Bearer": 2, "Basic": 1}


class Made(Scheme):
    """A scheme that says its name, in so many legs."""

    preemptive = False
    user = None
    legs = 1
    why_not = ""
    is_ready = True

    def ready(self, exchange: Exchange) -> bool:
        return self.is_ready

    def converse(self, exchange: Exchange, challenge: Challenge | None) -> Flow:
        if self.why_not:
            raise Unable(self.why_not)
        for leg in range(1, self.legs + 1):
            yield f"{self.scheme} {leg}"
            if not exchange.rejected:
                return


def made(scheme: str, **facts: Any) -> Scheme:
    kind = type(scheme, (Made,), {"scheme": scheme, "rank": RANKS[scheme], **facts})
    return cast("Scheme", kind())


ALL = wants("Basic realm=x", "NTLM", "Bearer", "Negotiate", "Digest realm=x, nonce=y", "Other")
BASIC, OTHER = wants("Basic realm=x"), wants("Other")


@pytest.mark.parametrize(
    ("offers", "known", "chosen"),
    [
        pytest.param(["Fake realm=x"], ["Digest", "Basic"], None, id="AU-03 Chromium: none"),
        pytest.param(["NTLM , Basic , NewAuth"], ["NTLM", "Basic"], "NTLM", id="AU-03 KDE"),
        pytest.param(["Basic, Digest nonce=n"], ["Basic", "Digest"], "Digest", id="AU-03 curl"),
        pytest.param(
            ["Digest nonce=n, Basic"], ["Basic", "Digest"], "Digest", id="AU-03 any order"
        ),
        pytest.param(["Basic", "Negotiate"], list(RANKS), "Negotiate", id="AU-03 on two lines"),
        pytest.param(["Basic, Bearer"], list(RANKS), "Bearer", id="AU-03 a token"),
        pytest.param(["bASIC"], ["Basic"], "Basic", id="AU-02 in any case"),
        pytest.param(["Negotiate"], ["Digest", "Basic"], None, id="AU-03 not allowed"),
        pytest.param([], list(RANKS), None, id="AU-01 nothing offered"),
    ],
)
def test_which_is_chosen(offers: list[str], known: list[str], chosen: str | None) -> None:
    told = talk(Strongest(*map(made, known)), wants(*offers))
    assert told.schemes == [None, *([chosen] if chosen else [])]


@pytest.mark.parametrize(
    ("schemes", "answers", "sent"),
    [
        pytest.param(
            [made("Basic"), made("Digest"), made("Negotiate")],
            [ALL] * 4,
            [None, "Negotiate 1", "Digest 1", "Basic 1"],
            id="AU-18 each once, the strongest first",
        ),
        pytest.param(
            [made("Negotiate", legs=3), made("Basic")],
            [ALL] * 5,
            [None, "Negotiate 1", "Negotiate 2", "Negotiate 3", "Basic 1"],
            id="AU-20 of several legs",
        ),
        pytest.param(
            [made("Negotiate"), made("Basic")],
            [ALL, BASIC, GRANTED],
            [None, "Negotiate 1", "Basic 1"],
            id="AU-01 what is offered then",
        ),
        pytest.param(
            [made("Negotiate"), made("Basic")],
            [ALL, OTHER],
            [None, "Negotiate 1"],
            id="AU-01 nothing is left",
        ),
        pytest.param(
            [made("Digest"), made("Basic", preemptive=True)],
            [ALL, GRANTED],
            [None, "Digest 1"],
            id="AU-05 none before it is known what the proxy takes",
        ),
        pytest.param(
            [made("Digest"), made("Basic")],
            [UNAUTHORIZED],
            [None],
            id="AU-23 a 401 is not answered",
        ),
        pytest.param([], [ALL], [None], id="none"),
    ],
)
def test_each_is_tried_once(
    schemes: list[Scheme], answers: list[ProxyResponse], sent: list[str | None]
) -> None:
    assert talk(Strongest(*schemes), *answers).sent == sent


NO_TICKET = made("Negotiate", why_not="no ticket")


@pytest.mark.parametrize(
    ("schemes", "answers", "sent", "tried"),
    [
        pytest.param(
            [NO_TICKET, made("Digest"), made("Basic")],
            [ALL] * 3,
            [None, "Digest 1", "Basic 1"],
            ["Negotiate (no ticket)", "Digest", "Basic"],
            id="AU-20 the next one",
        ),
        pytest.param(
            [NO_TICKET], [ALL], [None], ["Negotiate (no ticket)"], id="AU-20 none is left"
        ),
    ],
)
def test_one_that_has_nothing_to_answer_with(
    schemes: list[Scheme], answers: list[ProxyResponse], sent: list[str | None], tried: list[str]
) -> None:
    told = talk(Strongest(*schemes), *answers)
    assert told.sent == sent
    assert told.exchange.tried == tried


@pytest.mark.parametrize(
    ("scheme", "answers", "sent"),
    [
        pytest.param(made("Basic"), [GRANTED], [None], id="AU-05 it waits to be asked"),
        pytest.param(made("Basic"), [ALL, GRANTED], [None, "Basic 1"], id="AU-01 asked"),
        pytest.param(made("Basic", preemptive=True), [GRANTED], ["Basic 1"], id="AU-05 it begins"),
        pytest.param(made("Basic", preemptive=True), [ALL], ["Basic 1"], id="AU-18 and once"),
        pytest.param(
            made("Bearer", preemptive=True, why_not="no token"),
            [ALL],
            [None],
            id="AU-22 it cannot, and so the proxy is asked without",
        ),
    ],
)
def test_one_scheme_alone(
    scheme: Scheme, answers: list[ProxyResponse], sent: list[str | None]
) -> None:
    assert talk(scheme, *answers).sent == sent


@pytest.mark.parametrize(
    ("offered", "schemes"), [("Basic", ["Own", "Basic"]), ("Digest", ["Own"]), (None, ["Own"])]
)
def test_in_a_flow_that_has_begun_nothing_is_sent_unasked(
    offered: str | None, schemes: list[str]
) -> None:
    class Own(Auth):
        def flow(self, exchange: Exchange) -> Flow:
            yield "Own credentials"
            yield from made("Basic", preemptive=True).flow(exchange)

    assert talk(Own(), GRANTED if offered is None else wants(offered)).schemes == schemes


def test_the_user_is_the_one_of_the_scheme_that_has_one() -> None:
    told = talk(Strongest(made("Basic"), made("Digest", user="bob")), ALL, ALL, ALL)
    assert told.exchange.user == "bob"
    told = talk(Strongest(made("Basic", user="alice"), made("Negotiate")), ALL, GRANTED)
    assert told.exchange.user is None


# ---- what is remembered ----


@pytest.mark.parametrize("answer", [GRANTED, FORBIDDEN])
def test_au_05_what_worked_begins_the_next(answer: ProxyResponse) -> None:
    """A refusal other than for the credentials is one to somebody who was let in."""
    hop, auth = Hop(PROXY), Strongest(made("Digest"), made("Basic"))
    assert talk(auth, ALL, answer, hop=hop).schemes == [None, "Digest"]
    assert talk(auth, answer, hop=hop).schemes == ["Digest"]
    # Rejected, it is forgotten, and what there is left is tried; which worked now.
    assert talk(auth, ALL, answer, hop=hop).schemes == ["Digest", "Basic"]
    assert talk(auth, hop=hop).schemes == ["Basic"]
    assert talk(auth, hop=Hop(PROXY)).schemes == [None]


def test_au_05_what_is_not_ready_waits_to_be_asked() -> None:
    hop, auth = Hop(PROXY), Strongest(made("Negotiate", is_ready=False))
    assert talk(auth, ALL, GRANTED, hop=hop).schemes == [None, "Negotiate"]
    assert talk(auth, hop=hop).schemes == [None]


@pytest.mark.parametrize("answer", [ALL, UNAUTHORIZED], ids=["407", "AU-23 401"])
def test_au_18_what_was_rejected_is_forgotten(answer: ProxyResponse) -> None:
    hop, auth = Hop(PROXY), Strongest(made("Digest"))
    talk(auth, ALL, GRANTED, hop=hop)
    assert talk(auth, answer, hop=hop).schemes == ["Digest"]
    assert talk(auth, hop=hop).schemes == [None]


def test_no_scheme_is_remembered_where_none_was_asked_for() -> None:
    hop, auth = Hop(PROXY), Strongest(made("Digest"))
    assert talk(auth, GRANTED, hop=hop).schemes == [None]
    assert talk(auth, hop=hop).schemes == [None]


@pytest.mark.parametrize(
    "other",
    [Password("alice", "b"), Password("bob", "a"), Strongest(Basic("alice", "a"))],
    ids=["another password", "another user", "other schemes"],
)
def test_au_06_whose_memory_it_is(other: Auth) -> None:
    hop = Hop(PROXY)
    lazy = Password("alice", "a", preemptive=False)
    talk(lazy, BASIC, GRANTED, hop=hop)
    assert talk(lazy, hop=hop).schemes == ["Basic"]
    untold = talk(other, hop=Hop(PROXY)).schemes
    assert talk(other, hop=hop).schemes == untold


# ---- what it is ----


def test_a_scheme_has_to_converse() -> None:
    kind = type("Kind", (Scheme,), {"scheme": "Kind", "rank": 1, "preemptive": True, "user": None})
    with pytest.raises(NotImplementedError):
        talk(kind())


def test_what_is_made_of_others() -> None:
    negotiate, password = made("Negotiate"), Password("alice", "a")
    flat = Strongest(negotiate, Strongest(password), Bearer("t"))
    assert flat.schemes == (negotiate, *password.schemes, Bearer("t"))
    assert [scheme.scheme for scheme in flat.schemes] == ["Negotiate", "Digest", "Basic", "Bearer"]


def test_the_ranks_of_those_that_there_are() -> None:
    kinds: list[type[Scheme]] = [Digest, Bearer, Basic]
    assert {kind.scheme: kind.rank for kind in kinds}.items() <= RANKS.items()


@pytest.mark.parametrize(
    "other", [Auth(), Prompt(lambda proxy, challenges: None), ("alice", "s3cr3t"), None], ids=type
)
def test_a_flow_of_ones_own_decides_for_itself(other: Any) -> None:
    with pytest.raises(TypeError, match=r"^[A-Za-z]+ is not one of the schemes$"):
        Strongest(Basic("u", "p"), other)


@pytest.mark.parametrize(
    ("scheme", "complaint"), [("http", "a bearer token would go in the clear"), ("https", None)]
)
def test_au_22_it_complains_of_what_the_first_complains_of(
    scheme: str, complaint: str | None
) -> None:
    said = Strongest(Basic("u", "p"), Bearer("t")).complaint(scheme)
    assert said is None if complaint is None else complaint in (said or "")


DIGEST_AND_BASIC = (Digest("u", "p"), Basic("u", "p"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Strongest(*DIGEST_AND_BASIC), True),
        (Strongest(*reversed(DIGEST_AND_BASIC)), False),
        (Strongest(Digest("u", "p")), False),
        (Strongest(Digest("u", "p"), Basic("u", "q")), False),
        (Password("u", "p"), False),
        (DIGEST_AND_BASIC, False),
    ],
    ids=["the same", "another order", "fewer", "another password", "a Password", "a tuple"],
)
def test_au_06_its_identity(other: object, same: bool) -> None:
    auth = Strongest(*DIGEST_AND_BASIC)
    assert (auth == other) is same
    assert (hash(auth) == hash(other)) is same


def test_au_24_how_it_is_shown() -> None:
    auth = Strongest(Password("alice", "s3cr3t"), Bearer("s3cr3t"))
    assert repr(auth) == "Strongest(Digest('alice', ***), Basic('alice', ***), Bearer(***))"
    assert repr(Strongest.__new__(Strongest)) == "<Strongest in the making>"
    assert copy.copy(auth) is auth
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(auth)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        setattr(Strongest(), "schemes", ())  # noqa: B010 - no checker lets it be said otherwise
