//! The play about stages: a function that wants data and the world, and what
//! flows between.
//!
//! The world is a web server of the demo's own, which the station's operator
//! opens by name, since no guest reaches an address inside otherwise.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use super::{IsRefused, Stage, Works, chapter, text};
use crate::shell::print;

/// What the world knows: square kilometres.
const AREAS: &str = r#"{"Biscoe": 135.0, "Dream": 0.9, "Torgersen": 0.1}"#;
/// The service as the example names it.
const SERVICE: &str = "islands.example.org:80";

/// A web server that answers whatever it is asked, until the demo ends.
pub struct World {
    /// Its address and port.
    pub address: String,
}

impl World {
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up in the middle wants no answer.
                let _ = answer(stream);
            }
        });
        Ok(Self { address })
    }

    /// What the operator has to say of it.
    pub fn config(&self) -> String {
        format!("[gateway]\nallow_private = [\"{}\"]\n", self.address)
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    let mut asked = String::new();
    while 2 < head.read_line(&mut line)? {
        if asked.is_empty() {
            line.trim_end().clone_into(&mut asked);
        }
        line.clear();
    }
    print(&format!("  the world was asked: {asked}"));
    let length = AREAS.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{AREAS}"
    )
}

/// Keeps heavy penguins, in kilograms.
const HEAVY: &str = r#"
import csv, json

def transform(data, ctx):
    rows = [row for row in data.rows() if row["body_mass_g"] != "NA"]
    heavy = [row for row in rows if ctx.args["above"] < int(row["body_mass_g"])]
    with open("/out/body.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(heavy)
    told = {"body": "body.csv", "meta": {"title": "Heavy penguins"}}
    (ctx.out / "dataset.json").write_text(json.dumps(told))
"#;

impl Stage {
    /// What a transform would make, the version that it makes, what changed in
    /// it, and that doing it again changes nothing.
    fn play_versions(&self) -> anyhow::Result<()> {
        let path = self.folder.path().join("heavy.py");
        std::fs::write(&path, HEAVY)?;
        let path = path.to_string_lossy().into_owned();
        let what = ["--file", &path, "lab/penguins", "--arg", "above=6000"];
        chapter("lab looks at what a transform would make of the data; nothing is saved");
        self.lab(&[&["apply"][..], &what].concat())?;
        chapter("lab saves it: a new version, which says what made it and of what");
        self.lab(&[&["save", "-m", "heavy ones"][..], &what].concat())?;
        self.lab(&["dataset", "log", "lab/penguins"])?;
        self.lab(&[
            "dataset",
            "diff",
            "lab/penguins~1",
            "lab/penguins",
            "--rows",
            "3",
        ])?;
        chapter("the same once more changes nothing");
        self.lab(&[&["save"][..], &what].concat())
    }

    /// The refusal, the approval by name, the exposed bytes, and the yes taken back.
    pub(super) fn play_transforms(&self, world: &World) -> anyhow::Result<()> {
        chapter("lab pushes data; devs a function that wants data and the world, in three stages");
        let data = ["dataset", "push", "lab/penguins", "examples/penguins.csv"];
        self.lab(&data)?;
        let source = std::fs::read_to_string("examples/island_areas.py")?;
        let path = self.folder.path().join("island_areas.py");
        std::fs::write(&path, source.replace(SERVICE, &world.address))?;
        let path = path.to_string_lossy().into_owned();
        self.devs(&["function", "push", "devs/island-areas", &path])?;

        chapter("data and network never meet; what goes between is refused unless it is asked for");
        let run = ["run", "devs/island-areas", "--on", "lab/penguins"];
        self.act("guest", &self.guest, &run, IsRefused)?;
        self.guest(&[&run[..], &["--expose", "--detach"]].concat())?;
        let asked = self.newest_run()?;
        let (run, request) = (text(&asked, "id")?, text(&asked, "request")?);

        chapter("lab sees in red what may leave, and names it in its yes");
        self.lab(&["request", "show", &request])?;
        let approve = ["request", "approve", &request];
        self.act("lab", &self.lab, &approve, IsRefused)?;
        self.lab(&[&approve[..], &["--expose"]].concat())?;
        self.guest(&["status", &run, "--wait", "30s"])?;
        self.guest(&["output", &run])?;

        chapter("lab reads what left, to the byte");
        self.lab(&["output", &run, "--exposed"])?;

        self.play_versions()?;

        chapter("lab takes the yes back; guest sees how it ended, and no text");
        self.lab(&["request", "revoke", &request])?;
        self.act("guest", &self.guest, &["output", &run], Works)?;
        self.act("guest", &self.guest, &["logs", &run], IsRefused)
    }
}
