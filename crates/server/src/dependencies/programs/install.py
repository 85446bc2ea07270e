"""Installs what a lock names: fetches wheels, checks them and unpacks them.

Every request goes to the gateway as a whole URL, so that it is seen. A file is
taken only if the lock has its digest. A wheel is unpacked as plain files and
nothing of it is run; then its modules are compiled, so that no run has to.
"""

import concurrent.futures
import functools
import hashlib
import html.parser
import http.client
import json
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.parse
import zipfile

OUT = "/out"
# Ahead of runs these are worth loading.
PRELOAD = ("numpy", "pandas", "pyarrow", "scipy", "matplotlib")
REDIRECTS_MAX = 5
PAGE_BYTES_MAX = 64 << 20
AT_ONCE = 6
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class Failure(Exception):
    """What the developer or the operator should know."""


def fetch(url, accept):
    """An answer to a GET, its redirects followed."""
    for _ in range(REDIRECTS_MAX):
        connection = http.client.HTTPConnection("127.0.0.1", 3128, timeout=90)
        try:
            connection.request("GET", url, headers={"Accept": accept, "User-Agent": "strongroom"})
            answer = connection.getresponse()
        except OSError as error:
            raise Failure(f"{url}: {error}") from None
        if answer.status in (301, 302, 303, 307, 308):
            url = urllib.parse.urljoin(url, answer.getheader("Location", ""))
            continue
        if answer.getheader("Strongroom-Refused"):
            host = urllib.parse.urlsplit(url).netloc
            why = answer.read(1000).decode("utf-8", "replace")
            raise Failure(f"the index leads to {host}, which may not be reached: {why}")
        if answer.getheader("Strongroom-Failed"):
            raise Failure(f"{url}: {answer.read(1000).decode('utf-8', 'replace')}")
        if answer.status != 200:
            raise Failure(f"{url} answered {answer.status}")
        return url, answer
    raise Failure(f"{url}: too many redirects")


class Page(html.parser.HTMLParser):
    """The links of a page of the index."""

    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attributes):
        address = dict(attributes).get("href") if tag == "a" else None
        if address:
            self.links.append(address)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def files_of(index, package):
    """The files that the index has of a package: name, address and sha256."""
    url, answer = fetch(f"{index.rstrip('/')}/{normal(package['name'])}/", ACCEPT)
    body = answer.read(PAGE_BYTES_MAX + 1)
    if PAGE_BYTES_MAX < len(body):
        raise Failure(f"{url} is too long")
    if "json" in answer.getheader("Content-Type", ""):
        for file in json.loads(body)["files"]:
            yield file["filename"], urllib.parse.urljoin(url, file["url"]), file["hashes"].get("sha256")
        return
    page = Page()
    page.feed(body.decode("utf-8"))
    for link in page.links:
        address, _, fragment = urllib.parse.urljoin(url, link).partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
        yield name, address, dict(urllib.parse.parse_qsl(fragment)).get("sha256")


def rank_of_abi(python, abi):
    """How well a wheel's interpreter fits this one; None if not at all."""
    major, minor = sys.version_info[:2]
    if python == f"cp{major}{minor}" and abi == f"cp{major}{minor}":
        return 400
    if python == f"cp{major}{minor}" and abi == "none":
        return 300
    if abi == "abi3" and (match := re.fullmatch(rf"cp{major}(\d+)", python)):
        return 200 + int(match[1]) if int(match[1]) <= minor else None
    if abi == "none" and (match := re.fullmatch(rf"(?:py|cp){major}(\d*)", python)):
        return 100 + int(match[1] or 0) if int(match[1] or 0) <= minor else None
    return None


@functools.cache
def libc():
    """The C library of this interpreter, and its version."""
    library, version = platform.libc_ver()
    if "musl" in (sysconfig.get_config_var("SOABI") or ""):
        # It says its version to who starts it without a program.
        loader = f"/lib/ld-musl-{platform.machine()}.so.1"
        said = subprocess.run([loader], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
        found = re.search(r"^Version (\d+\.\d+)", said, re.MULTILINE)
        library, version = "musl", found[1] if found else "1.0"
    if not re.match(r"\d+\.\d+", version):
        return library, (0, 0)
    return library, tuple(int(part) for part in version.split(".")[:2])


def rank_of_platform(name):
    machine = platform.machine()
    if name == "any":
        return 0
    if name == f"linux_{machine}":
        return 1
    name = {
        f"manylinux1_{machine}": f"manylinux_2_5_{machine}",
        f"manylinux2010_{machine}": f"manylinux_2_12_{machine}",
        f"manylinux2014_{machine}": f"manylinux_2_17_{machine}",
    }.get(name, name)
    library, has = libc()
    kind = {"glibc": "manylinux", "musl": "musllinux"}.get(library)
    match = re.fullmatch(rf"{kind}_(\d+)_(\d+)_{machine}", name)
    if match is None:
        return None
    wanted = (int(match[1]), int(match[2]))
    return 2 + wanted[1] if wanted <= has else None


def rank(name):
    """How well a wheel fits here; None if it does not, or is no wheel."""
    parts = name[: -len(".whl")].split("-")
    if not name.endswith(".whl") or len(parts) not in (5, 6):
        return None
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    abi = [r for p in pythons for a in abis if (r := rank_of_abi(p, a)) is not None]
    plat = [r for p in platforms if (r := rank_of_platform(p)) is not None]
    return (max(abi), max(plat)) if abi and plat else None


def spelled(version):
    """One spelling of a version; a wheel's name and a lock may have others."""
    release, plus, local = re.sub(r"[-_+]+", "+", version.lower()).partition("+")
    numbers, rest = re.fullmatch(r"((?:\d+!)?\d+(?:\.\d+)*)?(.*)", release, re.DOTALL).groups()
    return re.sub(r"(\.0+)+$", "", numbers or ""), rest, plus, local


def may_be(package, file):
    """Whether a file may be one that the lock names. What it holds, its digest
    says; that it is the version which owners read, its name."""
    name, _, digest = file
    if digest is not None and digest not in package["hashes"]:
        return False
    if not name.endswith(".whl"):
        return digest is not None
    own, _, rest = name.partition("-")
    version = rest.partition("-")[0]
    return normal(own) == package["name"] and spelled(version) == spelled(package["version"])


def chosen(index, package):
    """The best file of a package that the lock names."""
    what = f"{package['name']} {package['version']}"
    named = [file for file in files_of(index, package) if may_be(package, file)]
    fits = [(rank(name), name, url) for name, url, _ in named if rank(name) is not None]
    if not fits and named:
        raise Failure(f"{what} has no wheel for this interpreter, and sources are not built")
    if not fits:
        raise Failure(f"{what}: the index has no file with a digest that the lock names")
    return max(fits)[1:]


def download(index, number, package):
    name, url = chosen(index, package)
    path = f"/tmp/{number}.whl"
    digest = hashlib.sha256()
    _, answer = fetch(url, "*/*")
    with open(path, "wb") as file:
        while part := answer.read(1 << 20):
            digest.update(part)
            file.write(part)
    if digest.hexdigest() not in package["hashes"]:
        raise Failure(f"{name}: its digest sha256:{digest.hexdigest()} is not one that the lock names")
    return path


def place_of(name):
    """Where a member of a wheel goes, or None."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(p in ("", ".", "..") for p in parts):
        raise Failure(f"a wheel holds the path {name!r}")
    if parts[0].endswith(".data") and 2 < len(parts):
        kinds = {"purelib": [], "platlib": [], "data": [], "scripts": ["bin"]}
        kind = kinds.get(parts[1])
        return None if kind is None else "/".join(kind + parts[2:])
    return name


def unpack(path):
    with zipfile.ZipFile(path) as wheel:
        for member in wheel.infolist():
            if member.is_dir():
                continue
            place = place_of(member.filename)
            if place is None:
                continue
            target = f"{OUT}/{place}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with wheel.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    os.unlink(path)


def compile_all():
    """Compiles each module, in as many processes as there are processors."""
    found = []
    for folder, names, files in os.walk(OUT):
        names[:] = [name for name in names if name not in ("tests", "__pycache__")]
        found.extend(os.path.join(folder, file) for file in files if file.endswith(".py"))
    found.sort()
    count = min(os.cpu_count() or 1, 4)
    children = []
    for part in range(count):
        child = os.fork()
        if child == 0:
            compile_each(found[part::count])
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def compile_each(paths):
    for path in paths:
        shown = "/deps" + path[len(OUT):]
        try:
            py_compile.compile(
                path, dfile=shown, doraise=True, quiet=2,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except Exception:
            # A file for another interpreter is found out by whoever imports it.
            pass


def install(asked):
    own = sysconfig.get_config_var("SOABI")
    wanted = asked["interpreter"]
    if wanted is not None and wanted != own:
        raise Failure(f"the lock is for {wanted}, and this is {own}; push with --relock")
    packages = sorted(asked["packages"], key=lambda package: package["name"])
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        paths = list(pool.map(lambda each: download(asked["index"], *each), enumerate(packages)))
    for path in paths:
        unpack(path)
    compile_all()
    preload = [name for name in PRELOAD if os.path.isfile(f"{OUT}/{name}/__init__.py")]
    return {"preload": preload, "interpreter": own}


def main():
    try:
        told = install(json.load(sys.stdin))
    except Failure as error:
        sys.exit(f"error: {error}")
    except zipfile.BadZipFile as error:
        sys.exit(f"error: a wheel cannot be unpacked: {error}")
    with open(3, "w", encoding="utf-8") as result:
        json.dump(told, result)


main()
