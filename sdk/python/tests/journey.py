"""The whole way through a real station, with three users.

Run by the tests of the repository, which start the station and say where it
is: `STRONGROOM_TEST_URL`, and a token for each of `lab`, `devs` and `guest`.
"""

import asyncio
import os
import pathlib
import tempfile
import threading
import unittest

import strongroom

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
PATIENCE = 60.0


def person(name):
    return strongroom.Station(
        os.environ["STRONGROOM_TEST_URL"], os.environ[f"STRONGROOM_TEST_{name}"]
    )


class Journey(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab, cls.devs, cls.guest = person("LAB"), person("DEVS"), person("GUEST")
        cls.pushed = cls.lab.datasets.push(
            "lab/penguins", EXAMPLES / "penguins.csv", "344 penguins"
        )
        cls.devs.functions.push("devs/mean-mass", EXAMPLES / "mean_mass.py")

    @classmethod
    def tearDownClass(cls):
        for station in (cls.lab, cls.devs, cls.guest):
            station.close()

    def function(self, source, name="own"):
        """A function of the guest's own, on nobody's data, so that nobody is asked."""
        return self.guest.functions.push(f"guest/{name}", {"main.py": source}).reference

    def test_a_call_waits_for_its_owner_and_returns_the_value(self):
        said, told = threading.Event(), []

        def pending(run):
            told.append(run)
            said.set()

        def owner():
            said.wait(PATIENCE)
            request = self.lab.requests.get(told[0].request)
            self.assertIn("def transform", request.detail["files"]["mean_mass.py"])
            self.lab.requests.approve(request.id, uses=1)

        answering = threading.Thread(target=owner)
        answering.start()
        value = self.guest.call(
            "devs/mean-mass",
            "lab/penguins",
            {"by": "species"},
            on_pending=pending,
            timeout=PATIENCE,
        )
        answering.join()
        self.assertEqual(value["mean_mass_g"]["Gentoo"], 5076.0)
        self.assertEqual((told[0].state, told[0].waits_for), ("waiting", ("lab",)))

    def test_a_request_that_is_rejected_is_refused_with_its_reason(self):
        run = self.guest.runs.ask(
            "devs/mean-mass", "lab/penguins", {"by": "sex"}, purpose="curious"
        )
        with self.assertRaises(strongroom.PendingApproval):
            self.guest.runs.wait(run.id, timeout=0.05)
        waiting = [request.run for request in self.lab.requests.list(state="pending")]
        self.assertIn(run.id, waiting)
        self.lab.requests.reject(run.request, "not for sale")
        with self.assertRaisesRegex(strongroom.Refused, "not for sale"):
            self.guest.runs.wait(run.id, timeout=PATIENCE, check=True)

    def test_logs_come_live_and_outputs_are_fetched_and_checked(self):
        run = self.lab.runs.ask("devs/mean-mass", {}, {"by": "year"})
        self.assertTrue(run.id)
        lines = []
        run = self.lab.run(
            "devs/mean-mass",
            "lab/penguins",
            {"by": "island"},
            on_log=lines.append,
            timeout=PATIENCE,
        )
        self.assertEqual([line.text for line in lines], ["342 penguins weighed, 2 not"])
        self.assertEqual([line.text for line in self.lab.runs.log(run.id)], [lines[0].text])
        self.assertTrue(self.lab.runs.read(run, "mean_mass.csv").startswith(b"island,penguins"))
        with tempfile.TemporaryDirectory() as folder:
            [path] = self.lab.runs.download(run.id, folder)
            self.assertEqual(os.path.basename(path), "mean_mass.csv")
            with self.assertRaises(FileExistsError):
                self.lab.runs.download(run.id, folder)
            self.lab.runs.download(run.id, folder, replace=True)

    def test_each_end_has_its_exception(self):
        for source, kind, options in (
            ("import sys; sys.exit(3)", strongroom.Failed, {}),
            ("while True: pass", strongroom.TimedOut, {"time": "200ms"}),
            (
                "x = bytearray(1 << 30); x[::4096] = b'1' * len(x[::4096])",
                strongroom.OutOfMemory,
                {"memory": "32 MiB"},
            ),
            ("open('/out/x', 'wb').write(bytes(1 << 20))", strongroom.RunError, {"out": "64 KiB"}),
            ("while True: print('x' * 1000)", strongroom.LogLimit, {"log": "8 KiB"}),
        ):
            with self.assertRaises(kind) as caught:
                self.guest.run(self.function(source), limits=options, timeout=PATIENCE)
            self.assertEqual(caught.exception.run.state, "ended")

    def test_a_failure_shows_the_remote_traceback(self):
        source = "def transform(data, ctx):\n    return {}['wing']\n"
        with self.assertRaises(strongroom.Failed) as caught:
            self.guest.call(self.function(source), timeout=PATIENCE)
        self.assertIn("line 2, in transform", caught.exception.remote_traceback)
        self.assertTrue(caught.exception.remote_traceback.endswith("KeyError: 'wing'"))

    def test_the_guests_half_works_inside(self):
        source = (
            "import strongroom\n"
            "def transform(data, ctx):\n"
            "    assert strongroom.args() == ctx.args\n"
            "    strongroom.write('sub/rows.csv', ({'n': n} for n in range(3)))\n"
            "    strongroom.progress(2, 2, 'done')\n"
            "    strongroom.log('stage', stage=strongroom.stage())\n"
            "    try:\n"
            "        strongroom.http.get('https://example.org')\n"
            "    except strongroom.http.NoNetwork as error:\n"
            "        return [strongroom.run_id(), str(error)]\n"
        )
        run = self.guest.run(self.function(source), args={"a": 1}, timeout=PATIENCE)
        self.assertEqual(run.value[0], run.id)
        self.assertIn("the stage transform has no network", run.value[1])
        self.assertEqual(self.guest.runs.read(run, "sub/rows.csv"), b"n\r\n0\r\n1\r\n2\r\n")
        lines = list(self.guest.runs.log(run.id))
        self.assertEqual((lines[0].progress.done, lines[1].text), (2.0, "stage stage=transform"))

    def test_a_function_tests_itself_inside(self):
        source = (
            "from strongroom import read, run_through\n"
            "def transform(data, ctx):\n"
            "    ran = run_through(lambda data, ctx: read().text(), files={'a.txt': 'inner'})\n"
            "    return ran.value\n"
        )
        self.assertEqual(self.guest.call(self.function(source), timeout=PATIENCE), "inner")

    def test_datasets_come_back_as_they_went(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "in/deep").mkdir(parents=True)
            (root / "in/deep/ü b.txt").write_bytes(b"\0\xff")
            (root / "in/.hidden").write_text("")
            first = self.guest.datasets.push("guest/d", root / "in", "one")
            self.assertEqual((first.file_count, first.unchanged), (2, False))
            self.assertTrue(self.guest.datasets.push("guest/d", root / "in").unchanged)
            second = self.guest.datasets.push("guest/d", {"x": b"1"})
            self.assertEqual(
                [v.version for v in self.guest.datasets.versions("guest/d")],
                [second.version, first.version],
            )
            self.guest.datasets.download("guest/d~1", root / "out")
            self.assertEqual((root / "out/deep/ü b.txt").read_bytes(), b"\0\xff")
            self.assertEqual(self.guest.datasets.read(second.reference, "x"), b"1")
        self.assertIn("guest/d", [dataset.name for dataset in self.guest.datasets.list()])
        with self.assertRaises(strongroom.NotFound):
            self.guest.datasets.get("lab/penguins")

    def test_what_breaks_a_law_says_which(self):
        with self.assertRaises(strongroom.Invalid) as caught:
            self.guest.runs.ask("devs/mean-mass", "lab/penguins", {"by": "wing"})
        self.assertEqual(caught.exception.code, "bad_args")
        with self.assertRaises(strongroom.NotFound):
            self.guest.runs.ask("devs/none")
        with self.assertRaises(strongroom.Unauthorized):
            strongroom.Station(os.environ["STRONGROOM_TEST_URL"], "srt_none").me()

    def test_asking_twice_with_one_key_is_asking_once(self):
        asked = [self.guest.runs.ask(self.function("pass"), key="k1").id for _ in range(2)]
        self.assertEqual(asked[0], asked[1])
        self.assertIn(asked[0], [run.id for run in self.guest.runs.list(most=500)])

    def test_many_calls_are_awaited_together(self):
        reference = self.function(
            "def transform(data, ctx):\n    return ctx.args['n'] * 2\n", "double"
        )

        async def main():
            url, token = os.environ["STRONGROOM_TEST_URL"], os.environ["STRONGROOM_TEST_GUEST"]
            async with strongroom.AsyncStation(url, token) as station:
                calls = [station.call(reference, args={"n": n}, timeout=PATIENCE) for n in range(6)]
                values = await asyncio.gather(*calls)
                run = await station.runs.ask(reference, args={"n": 1})
                events = [event async for event in station.runs.events(run.id, timeout=PATIENCE)]
                return values, events[-1].run.value

        self.assertEqual(asyncio.run(main()), ([0, 2, 4, 6, 8, 10], 2))


if __name__ == "__main__":
    unittest.main()
