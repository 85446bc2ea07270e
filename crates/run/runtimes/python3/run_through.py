#!/usr/bin/python3
"""Runs a function through, as a station does, where there is no station.

    run-through ./function.py --arg by=species

Each stage is a process of the same main program that a station runs, with the
same streams: the arguments on standard input, the log on stdout and stderr,
the value on descriptor 3. The value goes to stdout, as JSON; what the function
writes goes to stderr, each line behind a bar. There are no walls here but those
of the container that this runs in, so that no stage with a network is run: what
it would download is given with --download. Needs nothing but the standard library.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unicodedata
from pathlib import Path

TIME_S = 30
TIME_S_MAX = 3600
# The longest returned value, as on a station.
VALUE_LEN_MAX = 16 << 20
DEPTH_MAX = 120
RESULT = 3
DIRECTION = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
DEFINITION = re.compile(r"^(?:async[ \t]+)?def[ \t]+(expose|download|transform)[ \t]*\(", re.MULTILINE)


class Wrong(Exception):
    """What the caller can mend."""


def main_program():
    """The main program of the runtime, beside this file or where an image has it."""
    here = Path(os.path.realpath(__file__)).parent
    for place in (here / "main_program.py", Path("/kit/main_program.py")):
        if place.is_file():
            return place
    raise Wrong(f"there is no main_program.py beside {Path(__file__).name}")


def of_runtime(program):
    """The variables that the runtime adds, where an image says them."""
    try:
        return json.loads((Path(program).parent / "variables.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def asked(words):
    parser = argparse.ArgumentParser(
        prog="run-through", description="Runs a function through, as a station does.", allow_abbrev=False
    )
    parser.add_argument("function", help="a file, or a folder with a main.py or a handler.py")
    parser.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE", help="one argument; JSON, or else text")
    parser.add_argument("--args-json", metavar="JSON", help="all arguments; --arg adds to them")
    parser.add_argument("--data", default=os.environ.get("STRONGROOM_DATA", "/data"), metavar="DIR", help="the inputs [/data]")
    parser.add_argument("--out", default=os.environ.get("STRONGROOM_OUT"), metavar="DIR", help="keep the files of /out here")
    parser.add_argument("--entry", metavar="FILE", help="the file of a folder that is run: its tests")
    parser.add_argument("--download", metavar="FILE", help="what the stage download would have returned, as JSON")
    parser.add_argument("--time", type=float, default=TIME_S, metavar="SECONDS", help=f"how long it may take [{TIME_S}]")
    found = parser.parse_args(words)
    if not 0 < found.time <= TIME_S_MAX:
        raise Wrong(f"--time is more than 0 and at most {TIME_S_MAX} seconds")
    return found


def arguments(found):
    """The arguments, read as `strongroom run` reads them."""
    try:
        args = {} if found.args_json is None else json.loads(found.args_json)
    except ValueError as error:
        raise Wrong(f"--args-json is no JSON document: {error}") from None
    for text in found.arg:
        name, is_there, value = text.partition("=")
        if not is_there or not name:
            raise Wrong(f"--arg is KEY=VALUE, not {text!r}")
        if not isinstance(args, dict):
            raise Wrong("--arg adds to an object, and --args-json is none")
        try:
            args[name] = json.loads(value)
        except ValueError:
            args[name] = value
    return args


def laid(function, entry, to):
    """Lays the function's files into `to`; answers which one is run."""
    source = Path(function)
    if source.is_file():
        if entry is not None:
            raise Wrong("--entry is for a folder")
        to.mkdir()
        shutil.copyfile(source, to / source.name)
        return source.name
    if not source.is_dir():
        raise Wrong(f"there is no function at {function}")
    shutil.copytree(source, to)
    entry = entry or named_entry(to)
    if entry is None:
        files = [path.relative_to(to).as_posix() for path in sorted(to.rglob("*")) if path.is_file()]
        files = [name for name in files if name != "strongroom.toml"]
        mains = [name for name in ("main.py", "handler.py") if name in files]
        entry = files[0] if len(files) == 1 else next(iter(mains), None)
    if entry is None:
        raise Wrong("say which file is the entry; there is no main.py or handler.py")
    if os.path.isabs(entry) or ".." in Path(entry).parts or not (to / entry).is_file():
        raise Wrong(f"the function has no file {entry!r}")
    return entry


def named_entry(folder):
    """The entry that strongroom.toml names."""
    manifest = folder / "strongroom.toml"
    if not manifest.is_file():
        return None
    try:
        import tomllib
    except ImportError:
        return None
    try:
        return tomllib.loads(manifest.read_text(encoding="utf-8")).get("entry")
    except ValueError as error:
        raise Wrong(f"strongroom.toml: {error}") from None


def shown(text):
    """One line of a guest, harmless for a terminal."""
    return "".join(f"\\u{{{ord(c):x}}}" if c != "\t" and deceives(c) else c for c in text)


def deceives(c):
    """Whether it moves a cursor or turns the direction of writing."""
    return unicodedata.category(c) == "Cc" or DIRECTION.match(c) is not None


def tell(stream):
    for line in stream:
        print("|", shown(line.decode("utf-8", "replace").rstrip("\n")), file=sys.stderr, flush=True)


def run(program, root, entry, stage, args, time_s):
    """Runs one stage; answers its exit code and the bytes of its value."""
    reading, writing = os.pipe()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "STRONGROOM_RUN_ID": "run-through",
        "STRONGROOM_STAGE": stage,
        "STRONGROOM_ROOT": str(root),
        **of_runtime(program),
    }
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(program), entry]
    # `main` keeps descriptor 3 free for this.
    os.dup2(writing, RESULT)
    os.close(writing)
    with tempfile.TemporaryFile() as stdin:
        # The one text that a station has for it, too.
        text = json.dumps(args, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        stdin.write(text.encode("utf-8"))
        stdin.seek(0)
        process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[RESULT],
            cwd=root / "function", env=environment, start_new_session=True,
        )
    keep_free()
    value = bytearray()

    def read_value():
        with open(reading, "rb") as pipe:
            while part := pipe.read(1 << 16):
                if len(value) <= VALUE_LEN_MAX:
                    value.extend(part)

    readers = [
        threading.Thread(target=tell, args=[process.stdout]),
        threading.Thread(target=tell, args=[process.stderr]),
        threading.Thread(target=read_value),
    ]
    for reader in readers:
        reader.daemon = True
        reader.start()
    try:
        code = process.wait(time_s)
    except subprocess.TimeoutExpired:
        raise Wrong(f"timed_out({time_s:g} s)") from None
    finally:
        # Whatever it left running, as a sandbox ends with its first process.
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()
    for reader in readers:
        reader.join(10)
    if VALUE_LEN_MAX < len(value):
        raise Wrong("output_too_large")
    return code, bytes(value)


def strict(raw):
    """The value, as strictly as a station reads it."""

    def once(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("an object has a key twice")
        return found

    def no_constant(name):
        raise ValueError(f"{name} is no number in JSON")

    value = json.loads(raw.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    depth, level = 0, [value]
    while level:
        depth += 1
        if DEPTH_MAX < depth:
            raise ValueError(f"it is nested more than {DEPTH_MAX} deep")
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [one for some in inner for one in some]
    return value


def through(found):
    program, args = main_program(), arguments(found)
    with tempfile.TemporaryDirectory(prefix="run-through-") as folder:
        root = Path(folder)
        entry = laid(found.function, found.entry, root / "function")
        if not entry.endswith(".py"):
            raise Wrong(f"{entry} is no Python file, and this is the runtime python3")
        data = Path(found.data)
        if data.exists():
            if not data.is_dir():
                raise Wrong(f"{data} is no folder")
            (root / "data").symlink_to(data.resolve())
        for name in ("kit", "packages", "deps"):
            for place in (Path("/") / name, Path(program).parent / name):
                if place.is_dir() and not (root / name).exists():
                    (root / name).symlink_to(place)
        (root / "out").mkdir()
        if found.download is not None:
            (root / "stage").mkdir()
            (root / "stage" / "download.json").write_text(given(found.download), encoding="utf-8")
        elif found.entry is None and "download" in stages(root / "function" / entry):
            raise Wrong("the function downloads, and here is no gateway; --download FILE gives what it would return")
        code, raw = run(program, root, entry, "transform", args, found.time)
        if found.out is not None and code == 0:
            shutil.copytree(root / "out", found.out, dirs_exist_ok=True)
        return code, raw


def stages(entry):
    """The stages that the entry seems to define; `transform` makes it no plain script."""
    names = DEFINITION.findall(entry.read_text(encoding="utf-8", errors="replace"))
    return names if "transform" in names else []


def given(path):
    try:
        return json.dumps(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise Wrong(f"--download {path}: {error}") from None


def keep_free():
    """Takes the descriptor of the result, so that nothing of ours gets its number."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != RESULT:
        os.dup2(nothing, RESULT, inheritable=False)
        os.close(nothing)


def main():
    keep_free()
    try:
        code, raw = through(asked(sys.argv[1:]))
        value = strict(raw) if raw and code == 0 else None
    except Wrong as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: the returned value is not a JSON document: {error}", file=sys.stderr)
        return 1
    if code != 0:
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        print(f"failed({how})", file=sys.stderr)
        return 1
    print("succeeded", file=sys.stderr)
    if raw:
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
        print("".join(f"\\u{ord(c):04x}" if c != "\n" and deceives(c) else c for c in text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
