// Installs what a package-lock.json names, by npm, which takes a file only if
// it has the digest that the lock says. No script of any package is run, and no
// link to a program is made.
const { execFile, spawnSync } = require("node:child_process");
const fs = require("node:fs");

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const places = ["/usr/lib/node_modules/npm/bin/npm-cli.js", "/usr/share/nodejs/npm/bin/npm-cli.js"];
const npm = places.find((path) => fs.existsSync(path));
if (!npm) {
  console.error("error: there is no npm here; `apt install npm` brings it");
  process.exit(1);
}
// Where an address does not say whose file it is, the index has to: what it has
// under that name and version is the file with this digest.
function isKnown({ name, version, integrity }) {
  const options = [...asked.options, "--json", "--registry", asked.index];
  const words = [npm, "view", ...options, "--", `${name}@${version}`, "name", "version", "dist.integrity"];
  return new Promise((resolve) => {
    execFile(process.execPath, words, (error, said) => {
      try {
        const found = JSON.parse(said);
        const same = found.name === name && found.version === version;
        resolve(!error && same && found["dist.integrity"] === integrity);
      } catch {
        resolve(false);
      }
    });
  });
}
async function check(unplaced) {
  const left = [...unplaced];
  const ask = async () => {
    for (let one = left.pop(); one; one = left.pop()) {
      if (await isKnown(one)) continue;
      console.error(`error: the index has no ${one.name} ${one.version} with the digest of the lock`);
      process.exit(1);
    }
  };
  await Promise.all(Array.from({ length: 4 }, ask));
}
function install() {
  const root = JSON.parse(asked.lock).packages[""];
  fs.writeFileSync("/out/package.json", JSON.stringify(root));
  fs.writeFileSync("/out/package-lock.json", asked.lock);
  const ran = spawnSync(
    process.execPath,
    [npm, "ci", "--registry", asked.index, ...asked.options],
    { cwd: "/out", stdio: ["ignore", 2, 2] },
  );
  if (ran.status !== 0) process.exit(1);
  fs.unlinkSync("/out/package.json");
  fs.unlinkSync("/out/package-lock.json");
  fs.writeSync(3, JSON.stringify({ preload: [] }));
}
check(asked.unplaced).then(install);
