"""The caller's half against stations that misbehave, each a script of answers."""

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import tempfile
import threading
import time
import unittest
from unittest import mock

import strongroom
from strongroom import _wire

RUN = {
    "id": "run-1",
    "request": "req-1",
    "caller": "guest",
    "function": "devs/f",
    "plan": "sha256:0",
    "state": "running",
    "at_ms": 1,
    "started_ms": 2,
}
ENDED = {**RUN, "state": "ended", "reason": {"code": "succeeded"}, "value": [1]}


def answer(status, body, headers=""):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def problem(status, code):
    return answer(
        status, {"type": "about:blank", "title": "", "status": status, "code": code, "detail": "no"}
    )


class Fake:
    """A station that gives the next of its answers to whoever asks next.

    An answer is bytes; `None` hangs up without a word, and what ends with `...`
    hangs up after it was said.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            while True:
                head = []
                while True:
                    line = lines.readline()
                    if not line:
                        return
                    if line == b"\r\n":
                        break
                    head.append(line.decode().strip())
                length = next(
                    (int(h[16:]) for h in head if h.lower().startswith("content-length: ")), 0
                )
                self.asked.append((head, lines.read(length)))
                said = self.answers.pop(0) if self.answers else None
                if said is None:
                    return
                if callable(said):
                    said = said()
                if said.endswith(b"..."):
                    connection.sendall(said[:-3])
                    return
                connection.sendall(said)

    def close(self):
        self.socket.close()

    def header(self, number, name):
        found = [
            h.partition(": ")[2] for h in self.asked[number][0] if h.lower().startswith(name + ":")
        ]
        return found[0] if found else None


class Case(unittest.TestCase):
    def setUp(self):
        for name, value in (("PAUSE", 0.001), ("PAUSE_MAX", 0.002)):
            patch = mock.patch.object(_wire, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def station(self, *answers, **options):
        self.fake = Fake(*answers)
        self.addCleanup(self.fake.close)
        station = strongroom.Station(self.fake.url, "srt_x", **options)
        self.addCleanup(station.close)
        return station

    def events(self, *events):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        return head + b"".join(events) + b"..."

    def event(self, name, data, id=None):
        mark = f"id: {id}\n" if id else ""
        return f"event: {name}\n{mark}data: {json.dumps(data)}\n\n".encode()

    def line(self, seq, text="x", stream="stdout"):
        return {"seq": seq, "at_ms": 0, "stream": stream, "text": text}


class Wire(Case):
    def test_a_problem_is_raised_as_its_class_with_its_code(self):
        for status, code, kind in (
            (401, "unauthorized", strongroom.Unauthorized),
            (404, "not_found", strongroom.NotFound),
            (409, "conflict", strongroom.Conflict),
            (422, "bad_args", strongroom.Invalid),
            (413, "too_large", strongroom.TooLarge),
            (500, "internal", strongroom.StationTrouble),
            (418, "new", strongroom.Problem),
        ):
            with self.assertRaises(kind) as caught:
                self.station(problem(status, code)).me()
            self.assertEqual((caught.exception.code, caught.exception.status), (code, status))
            self.assertIs(type(caught.exception), kind)

    def test_what_is_no_station_is_told_apart(self):
        for said in (
            answer(502, b"<html>"),
            answer(200, b"<html>"),
            answer(404, [1]),
            answer(302, {}),
        ):
            with self.assertRaises((strongroom.BadAnswer, strongroom.StationTrouble)):
                self.station(*[said] * 4).me()

    def test_an_answer_with_a_field_of_another_kind_is_told_by_its_name(self):
        whole = {
            **ENDED,
            "files": [{"path": "a", "digest": "sha256:0", "size_bytes": 1}],
            "usage": {"wall_ms": 1},
            "waits_for": ["lab"],
        }
        odd = (None, True, -1, 1 << 70, 1.5, "x", "", [], [None], [[]], {}, {"code": []})
        fields = [[name] for name in whole] + [["files", 0, "size_bytes"], ["usage", "wall_ms"]]
        for path in fields:
            for value in odd:
                said = json.loads(json.dumps(whole))
                place = said
                for step in path[:-1]:
                    place = place[step]
                place[path[-1]] = value
                with contextlib.suppress(strongroom.BadAnswer):
                    run = self.station(answer(200, said)).runs.get("run-1")
                    str(run.reason), repr(run), run.ended, run.succeeded
        for said in (None, [], "x", 1, {}, {**ENDED, "id": 1}, {**ENDED, "files": [{"path": 3}]}):
            with self.assertRaises(strongroom.BadAnswer):
                self.station(answer(200, said)).runs.get("run-1")

    def test_what_is_nested_too_deep_is_no_answer(self):
        deep = b"[" * 200_000
        for said in (answer(200, deep), answer(404, deep)):
            with self.assertRaises(strongroom.BadAnswer):
                self.station(said).me()
        event = b"event: end\ndata: " + deep + b"\n\n"
        with self.assertRaises(strongroom.BadAnswer):
            list(self.station(self.events(event)).runs.events("run-1"))

    def test_no_more_is_set_aside_for_an_answer_than_a_part_of_it(self):
        from http.client import HTTPResponse

        asked, read = [], HTTPResponse.read

        def told(response, most=None):
            asked.append(most)
            return read(response, most)

        with mock.patch.object(HTTPResponse, "read", told):
            self.station(answer(200, ENDED)).runs.get("run-1")
            with self.assertRaises(strongroom.NotFound):
                self.station(problem(404, "not_found")).me()
        self.assertLessEqual(max(asked), _wire.CHUNK_BYTES)

    def test_a_list_that_would_never_end_is_no_answer(self):
        again = answer(200, {"items": [], "next": "1"})
        with self.assertRaises(strongroom.BadAnswer):
            list(self.station(*[again] * 3).datasets.list())
        same = answer(200, {"items": [self.line(1)], "next": "0"})
        with self.assertRaises(strongroom.BadAnswer):
            list(self.station(*[same] * 3).runs.log("run-1"))

    def test_what_a_station_calls_a_run_harms_no_terminal(self):
        evil = "\x1b]0;x\x07"
        run = {**RUN, "id": evil, "request": evil, "state": "waiting", "function": evil}
        ended = {**run, "state": "ended", "started_ms": None, "reason": {"code": evil}}
        for said, kind in ((run, strongroom.NotEnded), (ended, strongroom.RunError)):
            with self.assertRaises(kind) as caught:
                self.station(*[answer(200, said)] * 2).runs.wait("run-1", timeout=0, check=True)
            self.assertNotIn("\x1b", str(caught.exception))

    def test_whatever_is_returned_or_raised_has_a_name_here(self):
        for name in strongroom.__all__:
            self.assertIsNotNone(getattr(strongroom, name))
        for kind in (strongroom.Ended, strongroom.StateChange, strongroom.LogLine):
            self.assertIn(kind, strongroom.Event.__args__)
        self.assertFalse(hasattr(strongroom, "Statoin"))

    def test_a_redirect_is_not_followed_and_gets_no_token(self):
        other = Fake(answer(200, {"user": "x"}))
        self.addCleanup(other.close)
        with self.assertRaises(strongroom.BadAnswer):
            self.station(answer(302, b"", f"Location: {other.url}/\r\n")).me()
        self.assertEqual(other.asked, [])

    def test_what_may_be_repeated_is_repeated_and_not_without_end(self):
        me = answer(200, {"user": "me"})
        self.assertEqual(
            self.station(None, problem(503, "read_only"), problem(429, "too_many"), me).me(), "me"
        )
        with self.assertRaises(strongroom.Unreachable):
            self.station().me()
        self.assertEqual(len(self.fake.asked), _wire.ATTEMPTS_MAX)
        with self.assertRaises(strongroom.StationTrouble):
            self.station(problem(500, "internal")).me()
        self.assertEqual(len(self.fake.asked), 1)

    def test_an_owners_answer_is_sent_once(self):
        with self.assertRaises(strongroom.Unreachable):
            self.station(None, None).requests.approve("req-1")
        self.assertEqual(len(self.fake.asked), 1)

    def test_asking_is_repeated_under_the_same_key(self):
        station = self.station(None, answer(202, RUN))
        self.assertEqual(station.runs.ask("devs/f", args={"a": 1}).id, "run-1")
        keys = [self.fake.header(number, "idempotency-key") for number in (0, 1)]
        self.assertTrue(keys[0])
        self.assertEqual(keys[0], keys[1])
        body = json.loads(self.fake.asked[1][1])
        self.assertEqual(
            body, {"function": "devs/f", "on": [], "args": {"a": 1}, "limits": {}, "purpose": ""}
        )

    def test_a_connection_is_used_again_and_replaced_when_it_has_died(self):
        me = answer(200, {"user": "me"})
        station = self.station(me, me + b"...", me)
        for _ in range(3):
            self.assertEqual(station.me(), "me")

    def test_an_answer_that_is_cut_off_is_no_answer(self):
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n" + b'{"user": "m"}' + b"..."
        with self.assertRaises(strongroom.Unreachable):
            self.station(*[cut] * 4).me()

    def test_silence_has_an_end(self):
        quiet = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(quiet.close)
        station = strongroom.Station(
            f"http://127.0.0.1:{quiet.getsockname()[1]}", "t", timeout=0.05
        )
        with self.assertRaises(strongroom.Unreachable):
            station.me()

    def test_names_cannot_leave_their_place_in_a_path(self):
        station = self.station(*[problem(404, "not_found")] * 3)
        for name in ("a", "a/b/c", "/b", "a/"):
            with self.assertRaises(ValueError):
                station.datasets.get(name)
        for call in (
            lambda: station.runs.get("../x?y#z"),
            lambda: station.functions.get("a/..%2f?"),
        ):
            with self.assertRaises(strongroom.NotFound):
                call()
        self.assertEqual(self.fake.asked[0][0][0], "GET /v1/runs/..%2Fx%3Fy%23z HTTP/1.1")
        self.assertEqual(self.fake.asked[1][0][0], "GET /v1/functions/a/..%252f%3F HTTP/1.1")

    def test_no_name_is_a_step_up_or_down_a_path(self):
        fake = Fake()
        with strongroom.Station(fake.url, "t") as station:
            for call in (
                lambda: station.runs.get(".."),
                lambda: station.runs.get(""),
                lambda: station.datasets.get("lab/.."),
                lambda: station.functions.get("../devs"),
                lambda: station.requests.approve("."),
            ):
                with self.assertRaises(ValueError):
                    call()
        self.assertEqual(fake.asked, [])

    def test_a_file_that_is_not_its_digest_is_not_kept(self):
        files = [{"path": "a/b.txt", "digest": "sha256:00", "size_bytes": 3}]
        run = strongroom.Run.of({**ENDED, "files": files})
        for body in (b"abc", b"abcd", b"ab"):
            with tempfile.TemporaryDirectory() as folder:
                with self.assertRaises(strongroom.FileChanged):
                    self.station(answer(200, body)).runs.download(run, folder)
                self.assertEqual([f for _, _, f in os.walk(folder)], [[], []])

    def test_a_file_cannot_be_written_outside_of_its_folder(self):
        for path in ("../x", "/x", "a/../../x", "a\\b", ""):
            files = [{"path": path, "digest": "sha256:00", "size_bytes": 0}]
            run = strongroom.Run.of({**ENDED, "files": files})
            with tempfile.TemporaryDirectory() as folder, self.assertRaises(strongroom.FileChanged):
                self.station().runs.download(run, folder)

    def test_a_push_sends_each_content_once_and_refuses_links(self):
        version = {
            "dataset": "a/b",
            "version": "sha256:1",
            "at_ms": 0,
            "file_count": 3,
            "size_bytes": 3,
        }
        digest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
        answers = (
            answer(200, {"missing": [digest, "sha256:ff"]}),
            answer(204, b""),
            answer(201, version),
        )
        station = self.station(*answers)
        station.datasets.push("a/b", {"x": b"foo", "y/z": "foo", "w": b""}, "m")
        put = [(head[0], raw) for head, raw in self.fake.asked if head[0].startswith("PUT")]
        self.assertEqual(put, [(f"PUT /v1/blobs/{digest} HTTP/1.1", b"foo")])
        self.assertEqual(
            json.loads(self.fake.asked[-1][1])["files"]["y/z"], {"digest": digest, "size_bytes": 3}
        )
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "link").symlink_to("/etc/passwd")
            with self.assertRaisesRegex(ValueError, "symbolic link"):
                station.datasets.push("a/b", folder)
            os.unlink(f"{folder}/link")
            os.mkfifo(f"{folder}/fifo")
            with self.assertRaisesRegex(ValueError, "special file"):
                station.functions.push("a/b", folder)

    def test_a_refused_upload_says_why_and_sends_no_more(self):
        station = self.station(
            answer(
                200,
                {
                    "missing": [
                        "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
                    ]
                },
            ),
            problem(413, "too_large"),
        )
        with self.assertRaises(strongroom.TooLarge):
            station.datasets.push("a/b", {"x": b"foo"})


class Following(Case):
    def test_a_broken_stream_goes_on_after_the_last_line(self):
        station = self.station(
            self.events(
                b": alive\n\n",
                self.event("state", {"state": "running"}),
                self.event("log", self.line(1), 1),
            ),
            self.events(
                self.event("log", self.line(1), 1), self.event("later", {}), b"event: log\ndata: {"
            ),
            problem(503, "no_descriptors"),
            self.events(self.event("log", self.line(2), 2), self.event("end", ENDED)),
        )
        with (
            mock.patch("strongroom._events.PAUSE", 0.001),
            self.assertRaises(strongroom.StationTrouble),
        ):
            list(station.runs.events("run-1"))
        self.fake.answers = [
            self.events(self.event("log", self.line(2), 2), self.event("end", ENDED))
        ]
        with mock.patch("strongroom._events.PAUSE", 0.001):
            events = list(station.runs.events("run-1", after=1))
        self.assertEqual([getattr(event, "seq", None) for event in events], [2, None])
        self.assertEqual(events[-1].run.value, [1])
        self.assertEqual([self.fake.header(n, "last-event-id") for n in (0, 1, 3)], ["0", "1", "1"])

    def test_a_stream_that_is_lost_is_not_looked_for_without_end(self):
        station = self.station()
        with (
            mock.patch("strongroom._events.PAUSE", 0.001),
            self.assertRaises(strongroom.Unreachable),
        ):
            list(station.runs.events("run-1"))
        self.assertLess(len(self.fake.asked), 20)

    def test_a_run_that_waits_is_explained_and_not_waited_for_without_end(self):
        waiting = {**RUN, "state": "waiting", "waits_for": ["lab", "b\u202ed"], "started_ms": None}
        told = []
        station = self.station(*[answer(200, waiting)] * 10_000)
        with self.assertRaises(strongroom.PendingApproval) as caught:
            station.runs.wait("run-1", timeout=0.02, on_pending=told.append)
        self.assertEqual([run.id for run in told], ["run-1"])
        self.assertEqual(
            str(caught.exception),
            "run-1 waits for lab and b\\u202ed (req-1); once approved it starts by itself",
        )

    def test_each_reason_is_an_exception_of_its_own(self):
        reasons = {
            "timed_out": (strongroom.TimedOut, {"limit_ms": 1500}, "timed_out(1.5 s)"),
            "out_of_memory": (
                strongroom.OutOfMemory,
                {"limit_bytes": 1 << 28},
                "out_of_memory(256 MiB)",
            ),
            "cancelled": (strongroom.Cancelled, {"by": "lab"}, "cancelled(lab)"),
            "refused": (strongroom.Refused, {"why": "no\x1b[2J"}, "refused(no\\x1b[2J)"),
            "build_failed": (strongroom.BuildFailed, {"step": "lock"}, "build_failed(lock)"),
            "new_reason": (strongroom.RunError, {}, "new_reason"),
        }
        for code, (kind, details, said) in reasons.items():
            run = {**RUN, "state": "ended", "started_ms": None, "reason": {"code": code, **details}}
            with self.assertRaises(kind) as caught:
                self.station(answer(200, run)).runs.wait("run-1", check=True)
            self.assertIs(type(caught.exception), kind)
            self.assertEqual(str(caught.exception), f"devs/f: {said} (run-1)")

    def test_a_failure_brings_its_traceback_and_harms_no_terminal(self):
        run = {**RUN, "state": "ended", "reason": {"code": "failed", "exit_code": 1}}
        lines = [
            "before",
            "Traceback (most recent call last):",
            '  File "f.py"',
            "KeyError: '\x1b]0;x\x07'",
        ]
        said = [*((text, "stderr") for text in lines)]
        said.insert(2, ("of stdout", "stdout"))
        log = [self.line(n, text, stream) for n, (text, stream) in enumerate(said, 1)]
        station = self.station(answer(200, run), answer(200, {"items": log}))
        with self.assertRaises(strongroom.Failed) as caught:
            station.runs.wait("run-1", check=True)
        error = caught.exception
        self.assertEqual((error.exit_code, error.signal), (1, None))
        self.assertEqual(error.remote_traceback, "\n".join(lines[1:]))
        self.assertIn("KeyError: '\\x1b]0;x\\x07'", str(error))
        self.assertNotIn("\x1b", str(error))


class Login(unittest.TestCase):
    def found(self, url=None, token=None, stored=None, **environ):
        with tempfile.TemporaryDirectory() as folder:
            if stored:
                os.mkdir(f"{folder}/strongroom")
                pathlib.Path(f"{folder}/strongroom/login.toml").write_text(stored)
            with mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": folder, **environ}, clear=True):
                from strongroom import _login

                return _login.found(url, token)

    def test_what_is_given_comes_before_what_was_stored(self):
        stored = 'url = "http://a:1"\ntoken = "srt_a"\n'
        self.assertEqual(self.found(stored=stored), ("http://a:1", "srt_a"))
        self.assertEqual(self.found("http://b/", " t\n"), ("http://b", "t"))
        self.assertEqual(
            self.found(STRONGROOM_URL="http://c", STRONGROOM_TOKEN="t"), ("http://c", "t")
        )
        self.assertEqual(self.found(token="t", stored=stored), ("http://a:1", "t"))
        self.assertEqual(self.found(token="t"), ("http://127.0.0.1:7878", "t"))

    def test_a_stored_token_goes_to_no_other_station(self):
        stored = 'url = "http://a:1"\ntoken = "srt_a"\n'
        for options in ({"url": "http://b"}, {"STRONGROOM_URL": "http://b"}):
            with self.assertRaises(strongroom.NotLoggedIn):
                self.found(stored=stored, **options)
        with self.assertRaises(strongroom.NotLoggedIn):
            self.found()

    def test_an_address_and_a_token_are_plain(self):
        for url in (
            "a:1",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a?b",
            "http://a b",
            "http://a:x",
        ):
            with self.assertRaises(ValueError, msg=url):
                self.found(url, "t")
        with self.assertRaises(ValueError) as caught:
            self.found("http://a", "secret\r\nX: y")
        self.assertNotIn("secret", str(caught.exception))


class Async(Case):
    def test_calls_are_awaited_and_events_come_as_they_happen(self):
        fake = Fake(
            answer(200, {"user": "me"}),
            answer(200, {"items": [self.line(1)]}),
            self.events(self.event("log", self.line(1), 1), self.event("end", ENDED)),
        )
        self.addCleanup(fake.close)

        async def main():
            async with strongroom.AsyncStation(fake.url, "t") as station:
                me = await station.me()
                log = [line.seq async for line in station.runs.log("run-1")]
                events = [type(event).__name__ async for event in station.runs.events("run-1")]
                return me, log, events

        self.assertEqual(asyncio.run(main()), ("me", [1], ["LogLine", "Ended"]))

    def test_a_cancelled_wait_ends_at_once(self):
        asked, hung_up = threading.Event(), threading.Event()

        def silent():
            asked.set()
            hung_up.wait(30)
            return b"..."

        fake = Fake(silent)
        self.addCleanup(fake.close)
        self.addCleanup(hung_up.set)

        async def main():
            async with strongroom.AsyncStation(fake.url, "t") as station:
                wait = asyncio.ensure_future(station.runs.get("run-1", wait=30))
                await asyncio.get_running_loop().run_in_executor(None, asked.wait)
                wait.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await wait
                started = time.monotonic()
                station._threads.pool.shutdown(wait=True)
                return time.monotonic() - started

        self.assertLess(asyncio.run(main()), 20)
        self.assertEqual(len(fake.asked), 1)


if __name__ == "__main__":
    unittest.main()
