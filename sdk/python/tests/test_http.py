"""HTTP in the stage `download`, against a gateway that tells what it was asked."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import strongroom
from strongroom import _guest, http


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = []

    def do_GET(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, dict(self.headers.items()), raw))
        path = self.path.partition("?")[0]
        if path.startswith("https://evil.org"):
            return self.answer(
                403, b"evil.org is not among the hosts", {"Strongroom-Refused": "host"}
            )
        if path.endswith("/moved"):
            return self.answer(302, b"", {"Location": "https://other.org/there"})
        if path.endswith("/circle"):
            return self.answer(307, b"", {"Location": "/circle"})
        if path.endswith("/to-evil"):
            return self.answer(302, b"", {"Location": "https://evil.org/"})
        if path.endswith("/long"):
            return self.answer(200, b"x" * 1000)
        if path.endswith("/missing"):
            return self.answer(404, b"no")
        if path.endswith("/latin"):
            return self.answer(200, b"\xfc", {"Content-Type": 'text/plain; charset="latin-1"'})
        if path.endswith("/cut"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            self.close_connection = True
            return None
        return self.answer(200, json.dumps({"method": self.command, "body": raw.decode()}).encode())

    do_POST = do_PUT = do_GET

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Http(unittest.TestCase):
    def setUp(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
        Gateway.asked = []
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        thread.start()
        proxy = f"http://127.0.0.1:{self.server.server_port}"
        place = _guest.Place("/nowhere", {"HTTP_PROXY": proxy, "STRONGROOM_STAGE": "download"})
        _guest._stand_in.append(place)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(_guest._stand_in.pop)

    def test_a_call_goes_to_the_gateway_whole(self):
        answer = strongroom.http.get(
            "https://api.org:8443/a?b=1#part", params={"c": [2, 3]}, headers={"X-Own": "y"}
        )
        self.assertEqual(answer.json(), {"method": "GET", "body": ""})
        method, path, headers, _ = Gateway.asked[0]
        self.assertEqual((method, path), ("GET", "https://api.org:8443/a?b=1&c=2&c=3"))
        headers = {name.lower(): value for name, value in headers.items()}
        self.assertEqual((headers["host"], headers["x-own"]), ("api.org:8443", "y"))

    def test_a_document_is_posted(self):
        answer = http.post("https://api.org/", json={"a": 1})
        self.assertEqual(answer.json(), {"method": "POST", "body": '{"a": 1}'})
        with self.assertRaises(TypeError):
            http.post("https://api.org/", json=1, body=b"")

    def test_a_refusal_has_its_reason(self):
        for path in ("https://evil.org/", "https://api.org/to-evil"):
            with self.assertRaises(http.Refused) as caught:
                http.get(path)
            self.assertEqual(caught.exception.reason, "host")
            self.assertIn("not among the hosts", str(caught.exception))

    def test_a_redirect_is_followed_and_shows_no_secret_to_another_host(self):
        answer = http.get("https://api.org/moved", headers={"Authorization": "Bearer s", "X": "y"})
        self.assertEqual(answer.url, "https://other.org/there")
        last = {name.lower() for name in Gateway.asked[-1][2]}
        self.assertNotIn("authorization", last)
        self.assertIn("x", last)
        with self.assertRaisesRegex(http.Unanswered, "more than 10 times"):
            http.get("https://api.org/circle")
        self.assertEqual(http.get("https://api.org/moved", redirects=0).status, 302)

    def test_an_answer_has_a_bound_and_has_to_be_whole(self):
        self.assertEqual(len(http.get("https://api.org/long", bytes_max=1000).content), 1000)
        with self.assertRaises(http.AnswerTooLarge):
            http.get("https://api.org/long", bytes_max=999)
        with self.assertRaises(http.Unanswered):
            http.get("https://api.org/cut")

    def test_a_status_is_judged_when_that_is_asked_for(self):
        answer = http.get("https://api.org/missing")
        self.assertEqual((answer.status, answer.ok), (404, False))
        with self.assertRaises(http.BadStatus):
            answer.check()
        self.assertEqual(http.get("https://api.org/latin").check().text, "ü")

    def test_an_address_cannot_carry_another_request(self):
        for url in (
            "https://a/\r\nX: y",
            "https://a/ b",
            "ftp://a/",
            "a",
            "https:///x",
            "https://ü/",
        ):
            with self.assertRaises(ValueError, msg=url):
                http.get(url)
        with self.assertRaises((ValueError, OSError)):
            http.get("https://a/", headers={"X": "y\r\nZ: 1"})
        self.assertEqual(Gateway.asked, [])

    def test_a_stage_without_a_network_says_so(self):
        _guest._stand_in.append(_guest.Place("/nowhere", {"STRONGROOM_STAGE": "transform"}))
        try:
            with self.assertRaisesRegex(http.NoNetwork, "transform has no network"):
                http.get("https://api.org/")
        finally:
            _guest._stand_in.pop()


if __name__ == "__main__":
    unittest.main()
