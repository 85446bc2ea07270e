"""What a function can rely on inside its run, tried by `run_through`."""

import ast
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import strongroom
from strongroom import run_through

ROWS = "species,mass\nAdelie,3700\nGentoo,5076\n"


def printed(call):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        call()
    return out.getvalue()


class Arguments(unittest.TestCase):
    def test_arguments_are_those_of_the_caller_and_new_each_time(self):
        def transform(data, ctx):
            strongroom.args()["by"] = "changed"
            return [ctx.args, strongroom.args()]

        ran = run_through(transform, by="species", n=2)
        self.assertEqual(ran.value, [{"by": "species", "n": 2}] * 2)

    def test_a_name_that_run_through_has_itself_goes_in_the_mapping(self):
        ran = run_through(lambda data, ctx: ctx.args, arguments={"data": 1, "stage": 2}, x=3)
        self.assertEqual(ran.value, {"data": 1, "stage": 2, "x": 3})

    def test_outside_of_a_run_there_are_no_arguments(self):
        for call in (strongroom.args, strongroom.read, lambda: strongroom.write("a", b"")):
            with self.assertRaises(strongroom.NotInside):
                call()

    def test_a_script_reads_its_arguments_from_standard_input(self):
        for given, wanted in (('{"a": 1}', "{'a': 1}"), ("null", "{}"), ("", "{}")):
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "import strongroom; print(strongroom.args(), strongroom.args())",
                ],
                input=given,
                capture_output=True,
                text=True,
                env={**os.environ, "STRONGROOM_RUN_ID": "run-x"},
            )
            self.assertEqual(done.stdout, f"{wanted} {wanted}\n", done.stderr)

    def test_secrets_and_settings_are_those_of_the_stage(self):
        def transform(data, ctx):
            with self.assertRaisesRegex(
                KeyError, "there is no secret 'b' in this stage; there are: a"
            ):
                strongroom.secret("b")
            return [strongroom.secret("a"), strongroom.config("c"), strongroom.config("d", 4)]

        ran = run_through(transform, secrets={"a": "s"}, config={"c": [1]})
        self.assertEqual(ran.value, ["s", [1], 4])


class Inputs(unittest.TestCase):
    def read(self, call, **options):
        return run_through(lambda data, ctx: call(), **options).value

    def test_a_lone_file_needs_no_name(self):
        files = {"penguins.csv": ROWS}
        self.assertEqual(self.read(lambda: strongroom.read().text(), files=files), ROWS)
        self.assertEqual(self.read(lambda: strongroom.read().name, files=files), "penguins.csv")

    def test_one_of_several_is_named_and_a_wrong_name_lists_them(self):
        def call():
            with self.assertRaisesRegex(ValueError, "there are 2: a.csv, b/c.csv"):
                strongroom.read()
            with self.assertRaisesRegex(
                FileNotFoundError, "no input 'x'; there are: a.csv, b/c.csv"
            ):
                strongroom.read("x")
            return [strongroom.read("a.csv").text(), strongroom.read("b").name]

        files = {"a.csv": "1", "b/c.csv": "2"}
        self.assertEqual(self.read(call, files=files), ["1", "b/c.csv"])

    def test_a_name_cannot_climb_out_of_the_data(self):
        def call():
            for name in ("../x", "/etc/passwd", "a/../b", "", "a//b", "a\\b", "a\0b", "."):
                with self.assertRaises(ValueError, msg=repr(name)):
                    strongroom.read(name)
                with self.assertRaises(ValueError, msg=repr(name)):
                    strongroom.write(name, b"")

        self.read(call, files={"a": "1"})

    def test_rows_are_read_by_the_suffix(self):
        wanted = [{"a": "1"}, {"a": "2"}]
        for name, text in (
            ("x.csv", "\ufeffa\n1\n2\n"),
            ("x.tsv", "a\n1\n2\n"),
            ("x.jsonl", '{"a": "1"}\n\n{"a": "2"}\n'),
            ("x.json", '[{"a": "1"}, {"a": "2"}]'),
        ):
            rows = self.read(lambda: list(strongroom.read().rows()), files={name: text})
            self.assertEqual(rows, wanted, name)

    def test_what_is_no_rows_says_where(self):
        def call():
            with self.assertRaisesRegex(ValueError, "x.jsonl, line 2"):
                list(strongroom.read("x.jsonl").rows())
            with self.assertRaisesRegex(ValueError, "holds no list"):
                list(strongroom.read("x.json").rows())
            with self.assertRaisesRegex(ValueError, "for reading"):
                strongroom.read("x.json").open("w")

        self.read(call, files={"x.jsonl": "1\n{\n", "x.json": "{}"})

    def test_a_stage_without_data_says_so(self):
        def download(ctx):
            with self.assertRaisesRegex(FileNotFoundError, "no data .stage download."):
                strongroom.read("a")
            return ctx.expose

        self.assertEqual(run_through(download, earlier={"expose": [1]}).value, [1])
        with self.assertRaisesRegex(ValueError, "has no data"):
            run_through(download, files={"a": "1"})

    def test_files_and_folders_are_shown_as_inputs(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.txt"
            path.write_text("1")
            names = lambda data, ctx: data.names()  # noqa: E731
            self.assertEqual(run_through(names, path).value, ["a.txt"])
            self.assertEqual(run_through(names, folder).value, ["a.txt"])
            named = run_through(lambda data, ctx: data["one"].text(), {"one": path, "two": folder})
            self.assertEqual(named.value, "1")
            with self.assertRaises(FileNotFoundError):
                run_through(names, path.parent / "none")

    def test_what_a_version_says_of_itself_comes_with_it(self):
        told = {"": {"meta": {"title": "T"}, "readme": "# T"}, "zoo": {"structure": {"body": "z"}}}

        def transform(data, ctx):
            return [data.meta, data.structure, data.readme]

        files = {"zoo/a.csv": "1"}
        self.assertEqual(
            run_through(transform, files=files, about=told).value, [{"title": "T"}, {}, "# T"]
        )
        self.assertEqual(run_through(transform, files=files).value, [{}, {}, ""])
        named = run_through(
            lambda data, ctx: [data["zoo"].structure, data["zoo"].meta], files=files, about=told
        )
        self.assertEqual(named.value, [{"body": "z"}, {}])
        with self.assertRaisesRegex(ValueError, "has no data"):
            run_through(lambda ctx: None, stage="download", about=told)

    def test_data_frames_are_there_where_their_library_is(self):
        for library in ("pandas", "polars", "pyarrow"):
            method = {"pyarrow": "arrow"}.get(library, library)
            if importlib.util.find_spec(library) is None:

                def call(method=method, library=library):
                    with self.assertRaisesRegex(ImportError, library):
                        getattr(strongroom.read(), method)()

                self.read(call, files={"x.csv": ROWS})
                continue

            def copy(method=method):
                frame = getattr(strongroom.read(), method)()
                for suffix in ("csv", "tsv", "json", "jsonl", "parquet", "feather"):
                    if (
                        suffix in ("parquet", "feather")
                        and importlib.util.find_spec("pyarrow") is None
                    ):
                        continue
                    path = strongroom.write(f"x.{suffix}", frame)
                    again = strongroom.Source(f"x.{suffix}", os.fspath(path))
                    self.assertEqual(getattr(again, method)().shape, frame.shape, (method, suffix))
                return list(frame.shape)

            self.assertEqual(self.read(copy, files={"x.csv": ROWS}), [2, 2])


class Outputs(unittest.TestCase):
    def written(self, name, value):
        return run_through(lambda data, ctx: strongroom.write(name, value) and None).files[name]

    def test_what_is_written_follows_from_value_and_suffix(self):
        rows = [{"a": 1, "b": "x"}, {"a": 2}]
        for name, value, wanted in (
            ("a.bin", b"\0\1", b"\0\1"),
            ("d/e.txt", "ü\n", "ü\n".encode()),
            ("a.json", {"a": [1, None]}, b'{"a": [1, null]}\n'),
            ("a.jsonl", iter([1, {"b": 2}]), b'1\n{"b": 2}\n'),
            ("a.csv", iter(rows), b"a,b\r\n1,x\r\n2,\r\n"),
            ("a.tsv", [[1, 2], (3, 4)], b"1\t2\r\n3\t4\r\n"),
            ("a.csv", [], b""),
        ):
            self.assertEqual(self.written(name, value), wanted, name)

    def test_what_cannot_be_written_leaves_nothing_behind(self):
        def rows():
            yield {"a": 1}
            raise OSError("the source broke")

        def transform(data, ctx):
            for name, value in (
                ("a.json", float("nan")),
                ("a.json", object()),
                ("a.csv", rows()),
                ("a.csv", [{"a": 1}, {"b": 2}]),
                ("a.csv", ["text"]),
                ("a.csv", {"a": 1}),
                ("a.dat", 3),
            ):
                with self.assertRaises((ValueError, TypeError, OSError), msg=repr(value)):
                    strongroom.write(name, value)

        self.assertEqual(run_through(transform).files, {})

    def test_a_file_that_was_there_gives_way_as_a_whole(self):
        def transform(data, ctx):
            strongroom.write("a.txt", "one")
            strongroom.write("a.txt", "two")

        self.assertEqual(run_through(transform).text("a.txt"), "two")

    def test_a_link_in_the_outputs_is_refused_as_a_station_would(self):
        with self.assertRaisesRegex(ValueError, "l in /out is no regular file"):
            run_through(lambda data, ctx: os.symlink("/etc/passwd", ctx.out / "l"))

    def test_a_value_that_json_cannot_carry_is_told(self):
        for value in (object(), float("inf"), {1, 2}, "\ud800".encode("utf-8", "surrogatepass")):
            with self.assertRaisesRegex(TypeError, "JSON cannot carry"):
                run_through(lambda data, ctx, value=value: value)


class Log(unittest.TestCase):
    def test_a_line_has_values_and_fields(self):
        said = printed(lambda: strongroom.log("read", 3, rows=4, who="a b", x=None, q='"'))
        self.assertEqual(said, 'read 3 rows=4 who="a b" x=null q="\\""\n')

    def test_progress_is_told_seldom_and_at_its_end(self):
        def transform(data, ctx):
            for done in range(1001):
                strongroom.progress(done, 1000, "weighing\nall")

        said = printed(lambda: run_through(transform)).splitlines()
        self.assertEqual(said[-1], "progress 1000/1000 weighing all")
        self.assertLess(len(said), 100)
        line = strongroom.LogLine(1, 0, "stdout", said[-1])
        self.assertEqual((line.progress.done, line.progress.total), (1000.0, 1000.0))
        for text in ("progress", "progress x", "progress 1..2/3", "no progress 3"):
            self.assertIsNone(strongroom.LogLine(1, 0, "stdout", text).progress, text)


    def test_a_step_is_told_from_its_beginning_to_its_end_where_that_is_asked_for(self):
        code = (
            "import strongroom\n"
            "with strongroom.step('clean'): print('a', end='')\n"
            "try:\n"
            "    with strongroom.step('n' * 2000, 'last'): 1 / 0\n"
            "except ZeroDivisionError: pass\n"
        )
        for asked, wanted in (
            (
                {"STRONGROOM_EVENTS": "stderr"},
                [
                    {"event": "step_start", "name": "clean", "category": "transform"},
                    {
                        "event": "step_stop",
                        "name": "clean",
                        "category": "transform",
                        "status": "succeeded",
                    },
                    {"event": "step_start", "name": "n" * 1000, "category": "last"},
                    {
                        "event": "step_stop",
                        "name": "n" * 1000,
                        "category": "last",
                        "status": "failed",
                    },
                ],
            ),
            ({}, []),
        ):
            done = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                env={**os.environ, "STRONGROOM_RUN_ID": "run-x", **asked},
            )
            self.assertEqual([json.loads(line) for line in done.stderr.splitlines()], wanted)
            self.assertEqual(done.stdout, "a")


class Calling(unittest.TestCase):
    def test_a_handler_is_called_as_a_station_calls_it(self):
        def handle(event, context):
            return {"body": event.body.decode(), "method": event.method}

        self.assertEqual(run_through(handle, a=1).value, {"body": '{"a": 1}', "method": "POST"})

    def test_a_file_is_run_and_its_function_called(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "main.py"
            path.write_text(
                "import own\ndef transform(data, ctx):\n    return own.n + ctx.args['m']\n"
            )
            (path.parent / "own.py").write_text("n = 1\n")
            self.assertEqual(run_through(path, m=2).value, 3)
            path.write_text("x = 1\n")
            with self.assertRaisesRegex(TypeError, "just one of transform and handle, not 0"):
                run_through(path)

    def test_a_stage_of_a_file_is_called_by_its_name_and_given_what_came_before(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "main.py"
            path.write_text(
                "def download(ctx): return [ctx.expose, ctx.secrets]\n"
                "def transform(data, ctx): return ctx.download\n"
            )
            ran = run_through(path, stage="download", earlier={"expose": 1}, secrets={"a": "b"})
            self.assertEqual(ran.value, [1, {"a": "b"}])
            self.assertEqual(run_through(path, earlier={"download": ran.value}).value, ran.value)
            with self.assertRaisesRegex(AttributeError, "no value of the stage download"):
                run_through(path)
            with self.assertRaisesRegex(TypeError, "just one of expose, not 0"):
                run_through(path, stage="expose")

    def test_what_a_function_raises_is_raised(self):
        with self.assertRaises(ZeroDivisionError):
            run_through(lambda data, ctx: 1 // 0)
        with self.assertRaises(strongroom.NotInside):
            strongroom.args()

    def test_the_classes_of_the_main_program_have_the_same_members(self):
        path = pathlib.Path(__file__).parents[3] / "crates/run/runtimes/python3/main_program.py"
        classes = {
            node.name: {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef)
        }
        for own in (strongroom.Data, strongroom.Context):
            public = {
                name for name in vars(own) if not name.startswith("_") or name == "__getitem__"
            }
            there = {
                n for n in classes[own.__name__] if not n.startswith("_") or n == "__getitem__"
            }
            self.assertEqual(public, there, own.__name__)

    def test_every_name_of_the_package_is_there(self):
        for name in strongroom.__all__:
            self.assertIsNotNone(getattr(strongroom, name), name)
        with self.assertRaisesRegex(AttributeError, "no attribute 'nothing'"):
            strongroom.nothing

    def test_the_guests_half_loads_nothing_of_the_callers(self):
        code = (
            "import sys; import strongroom; strongroom.read, strongroom.write, strongroom.log;"
            "print(sorted(n for n in sys.modules if n.startswith('strongroom')),"
            "[n for n in ('typing', 'dataclasses', 'http.client', 'ssl', 'asyncio') if n in sys.modules])"
        )
        path = os.pathsep.join(sys.path)
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        wanted = [
            f"strongroom{name}" for name in ("", "._guest", "._inputs", "._names", "._outputs")
        ]
        self.assertEqual(done.stdout.strip(), f"{wanted} []", done.stderr)


if __name__ == "__main__":
    unittest.main()
