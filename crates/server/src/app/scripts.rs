//! The script API: a script in, what it printed out.
//!
//! A script is a function without a name, an owner or data, so its run is
//! approved at once and goes the way of every run: a plan, a permit, the
//! jail. It belongs to the token that sent it. Names and clients are labels
//! that follow the laws of names; neither ever becomes a path on the host.

use strongroom_core::{
    dependency::LOCK_LEN_MAX,
    id::{RequestId, RunId},
    limits::Limits,
    manifest::{Files, Manifest},
    name::Name,
    plan::{self, Inputs},
    run::{Reason, State, Stream},
    runtime::RuntimeName,
    stage::{Expose, Stage},
    tree::TreePath,
};
use strongroom_store::{FunctionContent, Kind, LogLine, NewRun, RunRow};

use super::{Actor, App, AppError, clock::random, runs::Begun, watch::Ended};
use crate::api;

/// The file that is run when there is more than one.
const MAIN: &str = "main.py";
/// Log lines read from the store at once.
const LINES_PER_READ: u32 = 1000;

/// A script as it was sent, checked.
pub struct Script {
    client: Option<Name>,
    entry: TreePath,
    files: Files,
}

impl Script {
    /// Takes files and a client's name, if they follow the laws.
    pub fn new(client: &str, files: Files) -> Result<Self, AppError> {
        let client = match client {
            "" => None,
            raw => Some(
                raw.parse()
                    .map_err(
                        |error: strongroom_core::name::NameError| AppError::Invalid {
                            code: "bad_client",
                            detail: format!("client: {error}"),
                        },
                    )?,
            ),
        };
        for path in files.keys() {
            if !path.as_str().ends_with(".py") {
                let detail = format!("`{path}`: only files that end in .py are taken");
                return Err(AppError::Invalid {
                    code: "bad_script",
                    detail,
                });
            }
        }
        let entry = entry(&files)?;
        Ok(Self {
            client,
            entry,
            files,
        })
    }

    /// Takes the body of `/run-json`.
    pub fn of_json(body: api::ScriptJson) -> Result<Self, AppError> {
        let path: TreePath = body.script_name.parse()?;
        let code = match body.code {
            api::Code::Text(text) => text,
            api::Code::Lines(lines) => lines.join("\n"),
        };
        Self::new(&body.client, Files::from([(path, code.into_bytes())]))
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub fn files(&self) -> &Files {
        &self.files
    }

    fn manifest(&self, limits: Limits) -> Manifest {
        Manifest {
            runtime: RuntimeName::python3(),
            entry: self.entry.clone(),
            description: String::new(),
            inputs: None,
            args: None,
            limits,
            stages: vec![Stage::Transform],
            download: None,
            secrets: std::collections::BTreeMap::new(),
            config: std::collections::BTreeMap::new(),
            dependencies: None,
        }
    }
}

fn entry(files: &Files) -> Result<TreePath, AppError> {
    let mut paths = files.keys();
    match (paths.next(), paths.next()) {
        (Some(only), None) => Ok(only.clone()),
        (None, _) => Err(AppError::Malformed {
            code: "no_file",
            detail: "there is no file part `files[]` in the request".to_owned(),
        }),
        _ => {
            let main = files.keys().find(|path| path.as_str() == MAIN);
            main.cloned().ok_or_else(|| AppError::Invalid {
                code: "bad_script",
                detail: format!("of several files, one is `{MAIN}`"),
            })
        }
    }
}

impl App {
    /// Queues a script.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] when what it needs cannot be had; nothing is queued.
    pub async fn script_submit(
        &self,
        actor: &Actor,
        mut script: Script,
    ) -> Result<Begun, AppError> {
        let config = &self.config.script;
        let most = config.upload_bytes_max;
        let mut tree = self.source_store(&script.files, most).await?;
        let mut manifest = script.manifest(config.limits);
        if self
            .depend_script(&actor.user, &mut script.files, &mut manifest)
            .await?
        {
            // Now with the lock, which the sender did not bring.
            let most = most + LOCK_LEN_MAX as u64;
            tree = self.source_store(&script.files, most).await?;
        }
        let plan = plan::pin(
            &manifest,
            FunctionContent::version_of(&tree, &manifest),
            self.runtime(&manifest.runtime)?,
            Inputs::None,
            serde_json::json!({}),
            config.limits,
            self.config.limits_max,
        )?;
        let kind = Kind::Script {
            client: script
                .client
                .map(|client| client.to_string())
                .unwrap_or_default(),
            script_name: script.entry.to_string(),
            token: actor.token.clone(),
        };
        let (now_ms, id_ms) = (self.now_ms(), self.clock.id_ms());
        let new = NewRun {
            run: RunId::new(id_ms, random()),
            request: RequestId::new(id_ms, random()),
            caller: actor.user.clone(),
            kind,
            plan,
            inputs: Inputs::None,
            purpose: String::new(),
            expose: Expose::Off,
            script: Some((tree, manifest)),
            transform: None,
            idempotency: None,
        };
        self.submit(new, now_ms).await
    }

    /// What became of a script that this token sent.
    pub async fn script(&self, actor: &Actor, id: &RunId) -> Result<api::ScriptStatus, AppError> {
        self.script_shown(self.run_row(actor, id).await?.into())
            .await
    }

    async fn script_shown(
        &self,
        Ended { run: row, log }: Ended,
    ) -> Result<api::ScriptStatus, AppError> {
        let Kind::Script {
            client,
            script_name,
            ..
        } = row.kind.clone()
        else {
            return Err(AppError::NotFound("script"));
        };
        let mut voices = Voices::default();
        match log {
            Some(lines) => voices.hear(&lines),
            None => self.script_voices(&row, &mut voices).await?,
        }
        let Voices { stdout, stderr } = voices;
        Ok(api::ScriptStatus {
            id: row.id,
            client,
            script_name,
            state: row.state,
            exit_code: exit_code(row.reason.as_ref()),
            reason: row.reason,
            stdout,
            stderr,
            usage: row.usage,
            files: row.files,
        })
    }

    /// The script as it is when it ended, or when the wait's bound is reached.
    pub async fn script_ended(
        &self,
        actor: &Actor,
        begun: Begun,
    ) -> Result<api::ScriptStatus, AppError> {
        let most = std::time::Duration::from_millis(self.config.script.wait_ms_max);
        let patience = tokio::time::sleep(most);
        let awaited = self.begun_awaited(actor, begun, patience).await?;
        self.script_shown(awaited).await
    }

    /// Both voices as they are stored. The log's bound bounds them.
    async fn script_voices(&self, row: &RunRow, voices: &mut Voices) -> Result<(), AppError> {
        if matches!(row.state, State::Waiting | State::Queued) {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let lines = self.store.log_page(&row.id, after, LINES_PER_READ).await?;
            let Some(last) = lines.last() else {
                return Ok(());
            };
            after = last.seq;
            voices.hear(&lines);
        }
    }
}

/// What a script said, as two texts.
#[derive(Default)]
struct Voices {
    stdout: String,
    stderr: String,
}

impl Voices {
    fn hear(&mut self, lines: &[LogLine]) {
        for line in lines {
            let voice = match line.stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
                Stream::Event => continue,
            };
            voice.push_str(&line.text);
            voice.push('\n');
        }
    }
}

/// The exit code, where the script itself ended with one.
fn exit_code(reason: Option<&Reason>) -> Option<i32> {
    match reason? {
        Reason::Succeeded => Some(0),
        Reason::Failed { exit_code, .. } => *exit_code,
        _ => None,
    }
}
