//! A folder that looks like a sandbox, and the guest in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use serde_json::Value;
use tempfile::TempDir;

pub struct Trial {
    folder: Rc<TempDir>,
    variables: BTreeMap<String, String>,
    arguments: String,
}

#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// What came through the descriptor of the result.
    pub value: Option<Value>,
    out: PathBuf,
    /// Kept, so that what was made can be looked at.
    _folder: Rc<TempDir>,
}

impl Trial {
    pub fn of(script: &str) -> Self {
        let folder = Rc::new(TempDir::new().expect("a temporary folder"));
        fs::create_dir(folder.path().join("out")).expect("/out");
        let trial = Self {
            folder,
            variables: BTreeMap::new(),
            arguments: "null".to_owned(),
        };
        trial.with("function/t.star", script)
    }

    /// With a file at this path of the sandbox.
    pub fn with(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("its folder");
        fs::write(path, text).expect("the file");
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn stage(self, name: &str) -> Self {
        self.variable("STRONGROOM_STAGE", name)
    }

    pub fn arguments(mut self, json: &str) -> Self {
        self.arguments = json.to_owned();
        self
    }

    pub fn run(&self) -> Ended {
        let root = self.folder.path();
        fs::write(root.join("arguments"), &self.arguments).expect("the arguments");
        let result = root.join("result");
        let _ = fs::remove_file(&result);
        let done = Command::new("/bin/sh")
            .args(["-c", r#"exec "$0" t.star 3>"$1" <"$2""#])
            .arg(env!("CARGO_BIN_EXE_strongroom-star"))
            .arg(&result)
            .arg(root.join("arguments"))
            .env_clear()
            .env("STRONGROOM_ROOT", root)
            .env("STRONGROOM_RUN_ID", "run1")
            .envs(&self.variables)
            .output()
            .expect("it starts");
        let raw = fs::read(result).expect("the shell made it");
        Ended {
            code: done.status.code(),
            stdout: String::from_utf8(done.stdout).expect("text"),
            stderr: String::from_utf8(done.stderr).expect("text"),
            value: (!raw.is_empty()).then(|| serde_json::from_slice(&raw).expect("JSON")),
            out: root.join("out"),
            _folder: Rc::clone(&self.folder),
        }
    }

    /// Runs, and the value that came back.
    #[track_caller]
    pub fn value(&self) -> Value {
        self.run().succeeded().value.clone().expect("a value")
    }
}

impl Ended {
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Failed with exit code 1, and said this.
    #[track_caller]
    pub fn failed(&self, part: &str) -> &Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.contains(part), "{}", self.stderr);
        assert!(self.value.is_none());
        self
    }

    /// The text of a file in `/out`.
    #[track_caller]
    pub fn out(&self, name: &str) -> String {
        fs::read_to_string(self.out.join(name)).expect(name)
    }

    #[track_caller]
    pub fn told(&self) -> Value {
        serde_json::from_str(&self.out("dataset.json")).expect("JSON")
    }

    /// The names in `/out`.
    pub fn made(&self) -> Vec<String> {
        names(&self.out)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.into_string().expect("text"))
        .collect();
    names.sort();
    names
}
