"""Resolves requirements into exact versions with hashes, by uv.

uv asks the index for what there is and reads what wheels say of themselves.
Nothing is built, so nothing of a package runs.
"""

import json
import subprocess
import sys
import sysconfig

LOCK = "/tmp/strongroom.lock"


def main():
    asked = json.load(sys.stdin)
    with open("/tmp/requirements.txt", "w", encoding="utf-8") as file:
        file.write(asked["requirements"] + "\n")
    if asked["before"] is not None:
        # Versions that still fit stay as they are.
        with open(LOCK, "w", encoding="utf-8") as file:
            file.write(asked["before"])
    command = [
        "/tools/uv", "pip", "compile", "--quiet", "--no-config", "--no-python-downloads",
        "--python", sys.executable, "--cache-dir", "/tmp/cache", "--index-url", asked["index"],
        "--only-binary", ":all:", "--generate-hashes", "--no-header",
        "--output-file", LOCK, "requirements.txt",
    ]
    try:
        ran = subprocess.run(command, cwd="/tmp", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        # It is there, so what is missing is what would load it.
        sys.exit(
            f"error: the station's uv does not start on this runtime ({error.strerror}): its image has another "
            "C library. `[index] uv` can name a static build of uv, or push with a strongroom.lock made elsewhere"
        )
    if ran.returncode:
        sys.exit(1)
    with open(LOCK, encoding="utf-8") as file:
        lock = file.read()
    with open(3, "w", encoding="utf-8") as result:
        json.dump({"lock": lock, "interpreter": sysconfig.get_config_var("SOABI")}, result)


main()
