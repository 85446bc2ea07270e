"""A package index on the loopback, with wheels that it writes itself.

It prints where it listens and how often each path was asked for, one line each.
"""

import base64
import hashlib
import http.server
import io
import json
import sys
import tarfile
import zipfile

EVER = "def greet():\n    return '{text}'\n"


def wheel(name, version, files, needs=()):
    out = io.BytesIO()
    needs = "".join(f"Requires-Dist: {need}\n" for need in needs)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-py3-none-any.whl", out.getvalue(), metadata.encode()


def source(name, version):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        entry = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return f"{name}-{version}.tar.gz", out.getvalue(), None


def greeting(text):
    return EVER.format(text=text)


HOOK = "import os; os.environ['HOOKED'] = 'yes'\n"
FILES = {
    "base": [wheel("base", "1.0", {"base.py": greeting("base 1.0")})],
    "hello": [
        wheel("hello", "1.0", {"hello/__init__.py": "import base\n" + greeting("hello 1.0"), "hook.pth": HOOK,
                               "sitecustomize.py": HOOK, "hello-1.0.data/scripts/run": "#!python\n"}, ["base"]),
    ],
    "python-barcode": [wheel("python_barcode", "3.0", {"barcode.py": greeting("barcode 3.0")})],
    "spoiled": [wheel("spoiled", "1.0", {"spoiled.py": ""})],
    "climber": [wheel("climber", "1.0", {"../../tmp/climbed.py": ""})],
    "clash": [wheel("clash", "1.0", {"clash.py": ""}, ["base>5"])],
    "sources": [source("sources", "1.0")],
}
def tarball(name, version, source):
    out = io.BytesIO()
    manifest = json.dumps({"name": name, "version": version, "main": "index.js", "scripts": {"install": "exit 7"}})
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in (("package/package.json", manifest), ("package/index.js", source)):
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


NODE = tarball("nodehello", "1.2.0", "module.exports = () => 'hello from node';")
AFAR = tarball("afar", "1.2.0", "module.exports = () => 'hello from afar';")
NEWER = wheel("base", "2.0", {"base.py": greeting("base 2.0")})


class Index(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        print("GET", self.path, flush=True)
        parts = self.path.strip("/").split("/")
        if parts == ["newer"]:
            FILES["base"].append(NEWER)
            return self.answer(b"", "text/plain")
        if parts[0] == "simple" and parts[1] in FILES:
            return self.answer(self.page(parts[1]), "application/vnd.pypi.simple.v1+json")
        if parts in (["nodehello"], ["afar"]):
            return self.answer(self.packument(parts[0]), "application/json")
        if parts == ["download", "0123"]:
            return self.answer(AFAR, "application/octet-stream")
        if parts == ["nodehello", "-", "nodehello-1.2.0.tgz"]:
            return self.answer(NODE, "application/octet-stream")
        if parts[0] == "files":
            name, _, part = parts[1].partition(".metadata")
            for files in FILES.values():
                for file, content, metadata in files:
                    if file == name and self.path.endswith(".metadata"):
                        return self.answer(metadata, "text/plain")
                    if file == name:
                        more = b" " if name.startswith("spoiled") else b""
                        return self.answer(content + more, "application/zip")
        self.send_error(404)

    def packument(self, name):
        content, path = {
            "nodehello": (NODE, "nodehello/-/nodehello-1.2.0.tgz"),
            "afar": (AFAR, "download/0123"),
        }[name]
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        dist = {"tarball": f"http://{self.headers['Host']}/{path}", "integrity": integrity}
        version = {"name": name, "version": "1.2.0", "dist": dist, "hasInstallScript": True}
        return json.dumps({"name": name, "dist-tags": {"latest": "1.2.0"}, "versions": {"1.2.0": version}}).encode()

    def page(self, name):
        def shown(file, content, metadata):
            hashes = {"sha256": hashlib.sha256(content).hexdigest()}
            told = {"filename": file, "url": f"../../files/{file}", "hashes": hashes}
            if metadata is not None:
                told["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
            return told

        files = [shown(*file) for file in FILES[name]]
        meta = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
        return json.dumps(meta).encode()

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
print(server.server_address[1], flush=True)
server.serve_forever()
