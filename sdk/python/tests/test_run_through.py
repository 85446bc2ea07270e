"""A run-through in an image: the mode of the main program that needs no station."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PYTHON = Path(__file__).resolve().parents[1]
RUNTIME = PYTHON.parents[1] / "crates" / "run" / "runtimes" / "python3"


class RunThrough(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        # As an image has them: the main program, this mode of it, the package.
        for name in ("main_program.py", "run_through.py"):
            (self.folder / name).write_text((RUNTIME / name).read_text(encoding="utf-8"), encoding="utf-8")
        (self.folder / "kit").mkdir()
        (self.folder / "kit" / "strongroom").symlink_to(PYTHON / "src" / "strongroom")
        (self.folder / "data").mkdir()
        (self.folder / "data" / "birds.csv").write_text("species,mass\nAdelie,3700\nGentoo,5000\n")

    def run_through(self, *words):
        command = [sys.executable, "-B", str(self.folder / "run_through.py"), *words, "--data", "data"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)

    def file(self, name, text):
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def test_a_function_gets_data_arguments_and_the_package_and_its_value_comes_back(self):
        self.file(
            "f.py",
            "import strongroom\n"
            "def transform(data, ctx):\n"
            "    print('weighed', data.names())\n"
            "    (ctx.out / 'a.txt').write_text('x')\n"
            "    return {'n': len(list(strongroom.read().rows())), 'args': ctx.args, 'stage': ctx.stage}\n",
        )
        ran = self.run_through("f.py", "--arg", "by=species", "--arg", "n=[1, 2.5]", "--out", "out")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        value = {"n": 2, "args": {"by": "species", "n": [1, 2.5]}, "stage": "transform"}
        self.assertEqual(json.loads(ran.stdout), value)
        self.assertIn("| weighed ['birds.csv']\n", ran.stderr)
        self.assertEqual((self.folder / "out" / "a.txt").read_text(), "x")

    def test_a_handler_and_a_plain_script_get_the_one_text_of_their_arguments(self):
        self.file("handler.py", "def handle(event, context):\n    return {'body': event.body.decode()}\n")
        ran = self.run_through("handler.py", "--arg", "b=1", "--arg", "a=ä")
        answer = {"statusCode": 200, "headers": {}, "body": '{"a":"ä","b":1}'}
        self.assertEqual(json.loads(ran.stdout), answer)
        self.file("plain.py", "import sys\nprint(sys.stdin.read())\n")
        ran = self.run_through("plain.py", "--args-json", "[1]")
        self.assertEqual((ran.returncode, ran.stdout), (0, ""))
        self.assertIn("| [1]\n", ran.stderr)

    def test_a_folder_runs_its_entry_or_its_tests(self):
        self.file("f/main.py", "def transform(data, ctx):\n    return 1\n")
        self.file("f/test_main.py", "from main import transform\nprint('ok', transform(None, None))\n")
        self.assertEqual(self.run_through("f").stdout, "1\n")
        self.assertIn("| ok 1\n", self.run_through("f", "--entry", "test_main.py").stderr)

    def test_what_a_guest_writes_moves_no_cursor(self):
        self.file("f.py", "print('\\x1b[2J\\u202ex')\ndef transform(data, ctx):\n    return '\\x7f\\u202e'\n")
        ran = self.run_through("f.py")
        self.assertIn("| \\u{1b}[2J\\u{202e}x\n", ran.stderr)
        self.assertEqual(ran.stdout, '"\\u007f\\u202e"\n')

    def test_what_it_leaves_running_ends_with_it(self):
        self.file("f.py", "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nprint(os.getpid())\n")
        self.assertEqual(self.run_through("f.py").returncode, 0)

    def test_what_it_cannot_do_it_says(self):
        self.file("f.py", "def download(ctx): pass\ndef transform(data, ctx): return ctx.download\n")
        self.file("d.json", "[1]")
        self.file("slow.py", "import time\ntime.sleep(1000)\n")
        self.file("nan.py", "def transform(data, ctx): return float('nan')\n")
        self.file("twice.py", "import os\nos.write(3, b'{\"a\": 1, \"a\": 2}')\n")
        self.file("seven.py", "raise SystemExit(7)\n")
        self.file("x.sh", "")
        for words, code, why in [
            (["f.py"], 2, "here is no gateway"),
            (["f.py", "--download", "d.json"], 0, "succeeded"),
            (["f.py", "--download", "f.py"], 2, "--download f.py"),
            (["none.py"], 2, "there is no function at none.py"),
            (["x.sh"], 2, "x.sh is no Python file"),
            (["f.py", "--arg", "x"], 2, "--arg is KEY=VALUE"),
            (["f.py", "--args-json", "{"], 2, "--args-json is no JSON document"),
            (["f.py", "--entry", "g.py"], 2, "--entry is for a folder"),
            (["kit"], 2, "say which file is the entry"),
            (["kit", "--entry", "../x"], 2, "the function has no file"),
            (["slow.py", "--time", "0.2"], 2, "timed_out(0.2 s)"),
            (["nan.py"], 1, "returned what JSON cannot carry"),
            (["twice.py"], 1, "an object has a key twice"),
            (["seven.py"], 1, "failed(exit 7)"),
        ]:
            with self.subTest(words):
                ran = self.run_through(*words)
                self.assertEqual(ran.returncode, code, ran.stderr)
                self.assertIn(why, ran.stderr)


if __name__ == "__main__":
    unittest.main()
