"""What strangers send, and what strangers ask: nothing of it runs, leaks, or reaches the disk."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from otel_traj.redaction import choose
from otel_traj.server.viewer import guard, pages, reading
from otel_traj.store import TrajectoryStore
from tests.server.episodes import HOSTILE, KEY, episode, hostile
from tests.server.serving import Answer, ask
from tests.server.viewing import Viewing, segment, viewing
from tests.store.runs import run, span_id

pytestmark = pytest.mark.slow

TOKEN = "a token of many words"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = TrajectoryStore.create(tmp_path_factory.mktemp("viewed") / "traces")
    made.append([*run(1), *episode(2), *hostile(3)])
    return made.path


@pytest.fixture(scope="module")
def viewer(store: Path) -> Iterator[Viewing]:
    with viewing(store, redaction=choose("secrets")) as running:
        yield running


def hostile_run(viewer: Viewing) -> str:
    [row] = viewer.get("trajectories", agent=HOSTILE)["rows"]
    return f"trajectories/{segment(row['trajectory_id'])}"


# --- who asks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7788", "127.0.0.1.evil.example"])
def test_a_name_that_only_points_here_is_refused(viewer: Viewing, host: str) -> None:
    answer = viewer.ask("trajectories", headers={"host": host})

    assert answer.status == 421
    assert b"rows" not in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"},
    ],
)
def test_pages_of_other_origins_may_not_ask(viewer: Viewing, headers: dict[str, str]) -> None:
    answer = viewer.ask("trajectories", headers=headers)

    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "none", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
    ],
)
def test_our_own_pages_and_links_may(viewer: Viewing, headers: dict[str, str]) -> None:
    assert viewer.ask("meta", headers=headers).status == 200
    assert viewer.ask("meta", headers={"origin": f"http://{viewer.address}"}).status == 200


def test_with_a_token_only_who_has_it_is_answered(store: Path) -> None:
    with viewing(store, token=TOKEN) as viewer:
        bare, wrong = viewer.ask("meta"), viewer.ask("meta", headers=bearer("no"))
        known = viewer.ask("meta", headers=bearer(TOKEN))
        page = viewer.ask("/t")
        paths = ("trajectories", "export/x", "/api/traces/x/checkpoints", "openapi.json")
        others = [viewer.ask(path).status for path in paths]

    assert (bare.status, wrong.status, known.status, page.status) == (401, 401, 200, 200)
    assert bare.headers["www-authenticate"] == "Bearer"
    assert others == [401] * 4


def test_who_showed_the_token_once_gets_a_cookie_for_links(store: Path) -> None:
    with viewing(store, token=TOKEN) as viewer:
        session = "/api/ot/v1/session"
        refused = ask(viewer.address, "POST", session, b"")
        begun = ask(viewer.address, "POST", session, b"", **bearer(TOKEN))
        cookie = begun.headers["set-cookie"]
        known = viewer.ask("meta", headers={"cookie": cookie.split(";")[0]})
        forged = viewer.ask("meta", headers={"cookie": f"{guard.COOKIE}=x"})

    assert (refused.status, begun.status, known.status, forged.status) == (401, 204, 200, 401)
    assert {"HttpOnly", "SameSite=strict", "Path=/api/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_who_asks_too_often_is_told_to_wait(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RATE", 0.001)
    monkeypatch.setattr(guard, "BURST", 3.0)
    with viewing(store) as viewer:
        answers = [viewer.ask("meta") for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"


def test_a_question_that_takes_too_long_is_given_up(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "DEADLINE_S", 0.05)
    opened = reading.Reader(TrajectoryStore(store), choose("off"))

    with pytest.raises(reading.TooSlowError, match="narrow it"):
        opened.read(
            lambda cursor: cursor.execute(
                "select count(*) from range(1000000) a, range(1000000) b where a.range = -b.range"
                " or a.range * b.range = 17"
            ).fetchall()
        )


# --- who sends ---------------------------------------------------------------------------------

NOBODY_TAKES = "/api/ot/v1/meta"
"""What answers to GET alone: 405 is told to who passed the guard."""


def sent(viewer: Viewing, body: bytes = b"{}", /, **changed: str | None) -> Answer:
    """A request as our own pages send it, with other headers, or without those that are None."""
    headers = {
        "origin": f"http://{viewer.address}",
        "content_type": "application/json",
        "x_otel_traj": "1",
        **changed,
    }
    given = {name: value for name, value in headers.items() if value is not None}
    return ask(viewer.address, "POST", NOBODY_TAKES, body, **given)


def test_what_our_own_pages_send_is_heard(viewer: Viewing) -> None:
    assert sent(viewer).status == 405
    assert sent(viewer, content_type="application/json; charset=utf-8").status == 405
    assert sent(viewer, origin=None, sec_fetch_site="same-origin").status == 405


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (403, {"origin": "https://evil.example"}),
        (403, {"origin": "null"}),
        (403, {"origin": None}),
        (403, {"origin": None, "sec_fetch_site": "none"}),
        (403, {"origin": None, "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}),
        (403, {"sec_fetch_site": "cross-site"}),
        (403, {"x_otel_traj": None}),
        (415, {"content_type": None}),
        (415, {"content_type": "text/plain"}),
        (415, {"content_type": "application/x-www-form-urlencoded"}),
        (415, {"content_type": "multipart/form-data; boundary=x"}),
    ],
)
def test_nothing_that_a_form_or_a_foreign_page_sends_is_heard(
    viewer: Viewing, status: int, changed: dict[str, str | None]
) -> None:
    answer = sent(viewer, **changed)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_browser_that_asks_whether_a_foreign_page_may_send_is_not_told_so(
    viewer: Viewing,
) -> None:
    answer = ask(
        viewer.address,
        "OPTIONS",
        NOBODY_TAKES,
        b"",
        origin="https://evil.example",
        access_control_request_method="POST",
        access_control_request_headers="x-otel-traj",
    )

    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_is_sent_is_small_however_its_length_is_told(viewer: Viewing) -> None:
    fits, told = b" " * guard.MOST_SENT, b" " * (guard.MOST_SENT + 1)

    assert sent(viewer, fits).status == 405
    assert sent(viewer, told).status == 413
    assert chunked(viewer, [b" " * 50_000] * 6).status == 413
    assert chunked(viewer, [b"{}"]).status == 405


def chunked(viewer: Viewing, chunks: list[bytes]) -> Answer:
    """An answer to a body whose length is not told before."""
    connection = http.client.HTTPConnection(viewer.address, timeout=30)
    headers = {
        "origin": f"http://{viewer.address}",
        "content-type": "application/json",
        "x-otel-traj": "1",
    }
    with contextlib.closing(connection):
        connection.request("POST", NOBODY_TAKES, iter(chunks), headers, encode_chunked=True)
        answer = connection.getresponse()
        return Answer(answer.status, {}, answer.read())


def test_who_begins_to_send_and_waits_is_let_go(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SENT_WITHIN_S", 0.05)
    with viewing(store) as viewer:
        host, _, port = viewer.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = (
                f"POST {NOBODY_TAKES} HTTP/1.1\r\nHost: {viewer.address}\r\n"
                f"Origin: http://{viewer.address}\r\nX-Otel-Traj: 1\r\n"
                "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            connection.sendall(head.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()

    assert (answer.status, answer.getheader("connection")) == (408, "close")


def test_who_sends_too_often_may_still_look(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SENT_RATE", 0.001)
    monkeypatch.setattr(guard, "SENT_BURST", 2.0)
    with viewing(store) as viewer:
        answers = [sent(viewer).status for _ in range(3)]
        looked = viewer.ask("meta").status

    assert (answers, looked) == ([405, 405, 429], 200)


def test_who_may_not_ask_may_not_send(store: Path) -> None:
    with viewing(store, token=TOKEN) as viewer:
        bare, known = sent(viewer), sent(viewer, **bearer(TOKEN))

    assert (bare.status, known.status) == (401, 405)


# --- what a browser may do with the answer -----------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/t", "/t/x", "/nothing.js", "meta", "nothing", "trajectories?q=a:b", "export/x"]
)
def test_every_answer_says_that_nothing_of_strangers_runs(viewer: Viewing, path: str) -> None:
    headers = viewer.ask(path).headers

    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_run_of_a_stranger_can_be_read_and_stays_text(viewer: Viewing) -> None:
    path = hostile_run(viewer)

    for part in ("", "/spans", "/transcript", "/steps", "/steps/1", "/files", "/doctor"):
        viewer.get(path + part)
    header = viewer.get(path)
    export = viewer.ask(f"export/{path.removeprefix('trajectories/')}", format="html")

    assert header["agent_name"] == HOSTILE
    assert export.status == 200
    assert export.headers["content-disposition"].startswith("attachment;")
    assert b"<img src=x" not in export.body
    assert b"&lt;img src=x" in export.body
    assert "\u202e" not in export.body.decode()


def test_keys_and_names_of_strangers_are_addresses_that_lead_back(viewer: Viewing) -> None:
    path = f"{hostile_run(viewer)}/spans/{span_id(3, 1)}"
    [odd] = [a for a in viewer.get(path)["attributes"] if a["key"].startswith("weird")]

    value = viewer.ask(f"{path}/values/{segment('attributes.' + odd['key'])}")

    assert value.body.decode() == odd["value"]["text"] == HOSTILE
    assert value.headers["content-type"].startswith("text/plain")
    assert "\r" not in value.headers["content-disposition"]


# --- secrets -----------------------------------------------------------------------------------


def test_secrets_are_replaced_wherever_they_are_shown(viewer: Viewing) -> None:
    path = hostile_run(viewer)
    run_id = path.removeprefix("trajectories/")
    asked = [
        "trajectories",
        "facets",
        path,
        *(f"{path}/{part}" for part in ("spans", "transcript", "steps", "steps/1", "steps/2")),
        *(f"{path}/spans/{row}" for row in range(3)),
        f"{path}/spans/{span_id(3, 2)}/values/arguments",
        f"{path}/steps/2/values/arguments",
        *(f"export/{run_id}?format={form}" for form in ("otlp", "jaeger", "chrome", "html")),
    ]
    answers = [viewer.ask(each) for each in asked]

    assert [answer.status for answer in answers] == [200] * len(asked)
    assert not [each for each, a in zip(asked, answers, strict=True) if KEY.encode() in a.body]
    assert any(b"[redacted:" in answer.body for answer in answers)


def test_nobody_finds_out_a_secret_by_looking_for_its_letters(viewer: Viewing) -> None:
    run_id = viewer.get(hostile_run(viewer))["trajectory_id"]

    for begun in (KEY, KEY[:20], KEY[5:18]):
        assert viewer.get("find", id=run_id, q=begun)["matches"] == []
        assert viewer.get("trajectories", q=f'"{begun}"')["total"] == 0


# --- paths and queries -------------------------------------------------------------------------

ESCAPES = [
    "/../../../../etc/passwd",
    "/assets/../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/....//etc/passwd",
    "//etc/passwd",
    "/etc/passwd%00.js",
    "/\\..\\..\\windows",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leaves_the_folder_of_the_viewer(viewer: Viewing, path: str) -> None:
    answer = raw(viewer, path)

    assert b"root:" not in answer.body
    assert answer.status in (200, 404, 400)
    assert answer.status != 200 or answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ESCAPES)
def test_no_file_of_a_run_is_a_file_of_this_machine(viewer: Viewing, path: str) -> None:
    trajectories = viewer.get("trajectories", agent="coder")["rows"]
    told = viewer.refused(
        f"trajectories/{trajectories[0]['trajectory_id']}/files/{segment(path)}/diff"
    )

    assert told["status"] == 404


def raw(viewer: Viewing, path: str) -> Answer:
    """An answer to a path that is sent as it is; clients would tidy it."""
    host, _, port = viewer.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {viewer.address}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        lower = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, lower, answer.read())


INJECTIONS = [
    "'",
    "' or 1=1 --",
    '"; drop table spans; --',
    "$id",
    "{x}",
    "%s",
    "x') union select * from read_csv('/etc/passwd') --",
    "\\",
    "\x1b[2J",
    "\u202e",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "%",
    "_",
    "*" * 500,
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_whatever_is_asked_is_only_compared(viewer: Viewing, text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for asked in (
        {"q": quoted},
        {"q": f"agent:{quoted}"},
        {"q": f"-error:{quoted}"},
        {"agent": text, "tool": text, "model": text, "error": text, "task": text},
    ):
        assert viewer.get("trajectories", **asked)["total"] in range(4)
        assert viewer.get("facets", **asked)["total"] in range(4)
    everything = viewer.get("trajectories", q=f"-agent:{quoted}")["total"]
    none_such = text.strip("*") != ""
    assert everything == (3 if none_such else 0)
    assert viewer.refused(f"trajectories/{segment(text)}")["status"] == 404


@pytest.mark.parametrize("value", ["", "\x00", "x" * 5_000, "'", "[]", "1e999", "-1"])
def test_no_parameter_breaks_the_server(viewer: Viewing, value: str) -> None:
    path = hostile_run(viewer)
    for asked in (
        *(f"trajectories?{name}" for name in ("q", "cursor", "sort", "since", "dur", "limit")),
        *(f"facets?{name}" for name in ("fields", "agent", "cost")),
        *(f"find?q=x&{name}" for name in ("id", "q")),
        *(f"{path}/spans?{name}" for name in ("from", "under")),
        *(f"{path}/transcript?{name}" for name in ("agent", "cursor")),
        "export/x?format",
    ):
        assert viewer.ask(f"{asked}={quote(value)}").status < 500, asked


def test_other_methods_are_refused(viewer: Viewing) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        answer = ask(viewer.address, method, "/api/ot/v1/trajectories", b"")
        assert answer.status in (403, 404, 405)


# --- pages -------------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A viewer of three files."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>viewer</title>")
    (tmp_path / "assets" / "main-abc.js").write_text("1")
    (tmp_path / ".srchash").write_text("secret")
    monkeypatch.setattr(pages, "STATIC", tmp_path)
    pages.files.cache_clear()
    yield
    pages.files.cache_clear()


@pytest.mark.usefixtures("built")
def test_every_page_is_the_viewer_and_its_files_are_kept(store: Path) -> None:
    with viewing(store) as viewer:
        page, script = viewer.ask("/t/abc?view=steps"), viewer.ask("/assets/main-abc.js")
        missing, hidden = viewer.ask("/assets/other.js"), viewer.ask("/.srchash")
        first = viewer.ask("/?q=tool:x")

    assert (page.status, page.headers["cache-control"]) == (200, "no-cache")
    assert b"<title>viewer</title>" in page.body
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert missing.status == 404
    assert b"secret" not in hidden.body
    assert first.headers["location"] == "/t?q=tool:x"


def ahead(name: str, *more: str) -> list[str]:
    """What the page of a run asks for at first."""
    at = f"/trajectories/{name}"
    return ["/meta", at, f"{at}/spans", *(f"{at}/{one}" for one in more)]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ("/t", []),
        ("/t/abc?view=files", ahead("abc")),
        ("/t/abc?step=07", ahead("abc", "transcript?around=7&limit=100")),
        ("/t/abc?step=-1", ahead("abc", "transcript?limit=100")),
        ("/t/a%3E,%22'~y", ahead("a%3E%2C%22'~y", "transcript?limit=100")),
        ("/compare/a/b", ["/compare?a=a&b=b"]),
    ],
)
def test_a_page_names_what_it_will_ask_for(store: Path, page: str, asked: list[str]) -> None:
    with viewing(store) as viewer:
        headers = viewer.ask(page).headers

    form = "<([^>]*)>; rel=preload; as=fetch; crossorigin=anonymous"
    told = re.findall(form, headers.get("link", ""))
    assert told == [f"/api/ot/v1{path}" for path in asked]


@pytest.mark.usefixtures("built")
def test_a_page_that_needs_a_token_first_asks_for_nothing_ahead(store: Path) -> None:
    with viewing(store, token="s3cret") as viewer:
        assert "link" not in viewer.ask("/t/abc").headers


def test_a_server_without_the_viewer_says_how_to_get_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "STATIC", tmp_path / "none")
    pages.files.cache_clear()
    with viewing(store) as viewer:
        page = viewer.ask("/t")
    pages.files.cache_clear()

    assert page.status == 200
    assert b"pip install" in page.body


def test_problems_name_no_file_of_this_machine(viewer: Viewing, store: Path) -> None:
    told: Any = json.dumps([viewer.refused("trajectories/none"), viewer.get("meta")])

    assert str(store.parent) not in told
