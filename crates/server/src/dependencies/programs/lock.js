// Resolves the dependencies of a package.json into exact versions with digests,
// by npm. No script of any package is run.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const places = ["/usr/lib/node_modules/npm/bin/npm-cli.js", "/usr/share/nodejs/npm/bin/npm-cli.js"];
const npm = places.find((path) => fs.existsSync(path));
if (!npm) {
  console.error("error: there is no npm here; `apt install npm` brings it");
  process.exit(1);
}
const work = "/tmp/work";
fs.mkdirSync(work);
fs.writeFileSync(`${work}/package.json`, asked.requirements);
if (asked.before !== null) {
  // Versions that still fit stay as they are.
  fs.writeFileSync(`${work}/package-lock.json`, asked.before);
}
const ran = spawnSync(
  process.execPath,
  [npm, "install", "--package-lock-only", "--registry", asked.index, ...asked.options],
  { cwd: work, stdio: ["ignore", 2, 2] },
);
if (ran.status !== 0) process.exit(1);
fs.writeSync(3, JSON.stringify({ lock: fs.readFileSync(`${work}/package-lock.json`, "utf8") }));
