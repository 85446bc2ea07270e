//! A run through its stages: what each may still use, and what is handed on.
//!
//! Nothing goes from one stage to the next but one value, as canonical JSON,
//! and it goes through here. The bounds of a run hold for its stages together:
//! what one has used of time and log, the next has less of. Absent on purpose:
//! the stages themselves, whose order is the permits', and where anything of
//! them is written down.

use std::{
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use strongroom_core::{
    json,
    limits::Limits,
    permit::{Permit, Permits},
    run::{Reason, Usage},
    stage::{EXPOSED_LEN_MAX, Stage},
};

use crate::prepared::Ended;

/// What the folder is called that a stage sees as `/stage`.
pub const LAID: &str = "stage";
/// The file in it with what the inputs say of themselves.
const INPUTS: &str = "inputs.json";

/// A run on its way through its stages.
#[derive(Debug)]
pub struct Course {
    permits: Permits,
    usage: Usage,
    of_last: Option<Usage>,
    log_bytes: u64,
    has_exposed: bool,
    carried: Option<Carried>,
}

/// The value of one stage on its way to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub stage: Stage,
    /// Canonical JSON.
    pub text: String,
}

impl Course {
    pub fn new(permits: Permits) -> Self {
        Self {
            permits,
            usage: Usage::default(),
            of_last: None,
            log_bytes: 0,
            has_exposed: false,
            carried: None,
        }
    }

    /// The bounds of all stages together.
    pub fn limits(&self) -> Limits {
        self.permits.limits()
    }

    /// What all stages so far have used.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What the last of them has used.
    pub fn usage_of_last(&self) -> Option<Usage> {
        self.of_last
    }

    /// Leave for the next stage, within what is left.
    ///
    /// # Errors
    ///
    /// The reason that the run ends with, when nothing is left for it.
    pub fn next_stage(&mut self) -> Result<Option<Permit>, Reason> {
        self.of_last = None;
        let whole = self.limits();
        let left = Limits {
            time_ms: whole.time_ms.saturating_sub(self.usage.wall_ms),
            log_bytes: self.log_left(),
            ..whole
        };
        match self.permits.next_stage(left) {
            Some(_) if left.time_ms == 0 => Err(Reason::TimedOut {
                limit_ms: whole.time_ms,
            }),
            next => Ok(next),
        }
    }

    /// The log that is left for the next stage.
    ///
    /// What `download` may log must not tell it how much `expose` did, which has
    /// seen the data: it would hear of its bound by being ended, one request
    /// after the other. So these two have a half each, and `transform` what
    /// both have left.
    fn log_left(&self) -> u64 {
        let whole = self.limits().log_bytes;
        match self.permits.upcoming() {
            Some(Stage::Expose) => whole / 2,
            Some(Stage::Download) if self.has_exposed => whole / 2,
            _ => whole.saturating_sub(self.log_bytes),
        }
    }

    /// What `stage` is given of the one before.
    pub fn carried_to(&self, stage: Stage) -> Option<&Carried> {
        let carried = self.carried.as_ref();
        carried.filter(|carried| stage.reads() == Some(carried.stage))
    }

    /// Counts what a stage has used, and takes the value that it hands on. The
    /// value of `transform` stays where it is: it is the run's.
    pub fn took(&mut self, stage: Stage, ended: &mut Ended) {
        self.count(ended);
        self.has_exposed |= stage == Stage::Expose;
        self.carried = None;
        if stage == Stage::Transform {
            return;
        }
        // What it left in its folders is nobody's.
        ended.out = None;
        let value = ended.value.take().unwrap_or_default();
        if !ended.reason.is_success() {
            return;
        }
        let text = json::canonical(&value);
        match stage {
            Stage::Expose if EXPOSED_LEN_MAX < text.len() as u64 => {
                ended.reason = Reason::OutputTooLarge {
                    limit_bytes: EXPOSED_LEN_MAX,
                };
            }
            _ => self.carried = Some(Carried { stage, text }),
        }
    }

    /// The value that the last stage hands on.
    pub fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }

    fn count(&mut self, ended: &mut Ended) {
        let whole = self.limits();
        // A stage's own bound is what was left; people know the run's.
        match &mut ended.reason {
            Reason::TimedOut { limit_ms } => *limit_ms = whole.time_ms,
            Reason::LogLimit { limit_bytes } => *limit_bytes = whole.log_bytes,
            _ => {}
        }
        self.log_bytes = self.log_bytes.saturating_add(ended.log_bytes);
        let (so_far, stage) = (&mut self.usage, &ended.usage);
        so_far.wall_ms += stage.wall_ms;
        so_far.cpu_ms += stage.cpu_ms;
        so_far.out_bytes += stage.out_bytes;
        so_far.memory_peak_bytes = so_far.memory_peak_bytes.max(stage.memory_peak_bytes);
        self.of_last = Some(*stage);
    }
}

impl Carried {
    /// Writes the value into a new folder [`LAID`] below `private`, which the next
    /// stage sees as `/stage`. It is open for guests, so nobody else may enter
    /// `private`.
    ///
    /// # Errors
    ///
    /// What the host said; it is at fault.
    pub fn lay_into(&self, private: &Path) -> io::Result<()> {
        lay(private, Some(self), None)
    }
}

/// Writes what a stage is given beside its data into a new folder [`LAID`]
/// below `private`: a value, and what its inputs say of themselves, as JSON.
///
/// # Errors
///
/// As [`Carried::lay_into`].
pub fn lay(private: &Path, carried: Option<&Carried>, inputs: Option<&str>) -> io::Result<()> {
    let folder = private.join(LAID);
    std::fs::create_dir(&folder)?;
    if let Some(carried) = carried {
        lay_file(&folder.join(carried.stage.file_name()), &carried.text)?;
    }
    if let Some(inputs) = inputs {
        lay_file(&folder.join(INPUTS), inputs)?;
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
}

fn lay_file(path: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    // Again, since the mode at creation passes through the umask.
    file.set_permissions(std::fs::Permissions::from_mode(0o444))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};
    use strongroom_core::{
        digest::Digest,
        id::RunId,
        network::Answers,
        plan::{Inputs, Plan, RuntimePin},
        runtime::RuntimeName,
    };

    use super::*;

    fn course(stages: &[Stage]) -> Course {
        let plan = Plan {
            function: Digest::of(b"f"),
            runtime: RuntimePin {
                name: RuntimeName::sh(),
                digest: Digest::of(b"sh"),
            },
            inputs: Inputs::None,
            args: Value::Null,
            limits: Limits {
                time_ms: 1000,
                log_bytes: 100,
                ..Limits::DEFAULT
            },
            stages: stages.to_vec(),
            download: None,
            secrets: strongroom_core::secret::Secrets::new(),
            config: strongroom_core::config::Config::new(),
            answers: Answers::Live,
        };
        Course::new(Permits::trial(RunId::new(1, [0; 10]), &plan))
    }

    fn ended(value: Value) -> Ended {
        Ended {
            reason: Reason::Succeeded,
            usage: Usage {
                wall_ms: 400,
                cpu_ms: 10,
                memory_peak_bytes: 5,
                out_bytes: 2,
            },
            value: Some(value),
            out: None,
            log_bytes: 60,
        }
    }

    #[test]
    fn a_value_goes_to_the_next_stage_and_no_further() {
        let mut course = course(&Stage::ALL);
        for (stage, value) in [
            (Stage::Expose, json!({"a": 1})),
            (Stage::Download, json!([2])),
        ] {
            let permit = course.next_stage().unwrap().unwrap();
            assert_eq!(permit.stage(), stage);
            course.took(stage, &mut ended(value.clone()));
            for next in Stage::ALL {
                let carried = course.carried_to(next).map(|carried| carried.text.as_str());
                let given = (next.reads() == Some(stage)).then(|| value.to_string());
                assert_eq!(carried, given.as_deref(), "{stage:?} to {next:?}");
            }
        }
        let mut last = ended(json!("result"));
        course.took(Stage::Transform, &mut last);
        assert_eq!(
            (last.value, course.carried()),
            (Some(json!("result")), None)
        );
    }

    #[test]
    fn a_stage_that_failed_hands_nothing_on() {
        let mut course = course(&Stage::ALL);
        let mut failed = ended(json!(1));
        failed.reason = Reason::OutOfMemory { limit_bytes: 1 };
        course.took(Stage::Expose, &mut failed);
        assert_eq!((failed.value, course.carried()), (None, None));
    }

    #[test]
    fn what_is_exposed_is_short_enough_to_be_read() {
        let mut course = course(&Stage::ALL);
        let most = EXPOSED_LEN_MAX as usize - 2;
        let mut just = ended(json!("x".repeat(most)));
        course.took(Stage::Expose, &mut just);
        assert!(just.reason.is_success() && course.carried().is_some());
        let mut over = ended(json!("x".repeat(most + 1)));
        course.took(Stage::Expose, &mut over);
        assert_eq!(over.reason.code(), "output_too_large");
        assert!(course.carried().is_none());
    }

    #[test]
    fn the_stages_share_the_time_and_the_log_of_their_run() {
        let mut course = course(&Stage::ALL);
        let permit = course.next_stage().unwrap().unwrap();
        assert_eq!(permit.limits().time_ms, 1000);
        course.took(Stage::Expose, &mut ended(json!(1)));
        let permit = course.next_stage().unwrap().unwrap();
        assert_eq!(
            (permit.limits().time_ms, permit.limits().log_bytes),
            // Of the log the half that `expose` could not touch.
            (600, 50)
        );
        let mut late = ended(json!(1));
        late.reason = Reason::TimedOut { limit_ms: 600 };
        late.usage.wall_ms = 600;
        course.took(Stage::Download, &mut late);
        assert_eq!(late.reason, Reason::TimedOut { limit_ms: 1000 });
        assert_eq!(
            course.next_stage().unwrap_err(),
            Reason::TimedOut { limit_ms: 1000 }
        );
        let usage = course.usage();
        assert_eq!(
            (usage.wall_ms, usage.cpu_ms, usage.out_bytes),
            (1000, 20, 4)
        );
        assert_eq!(usage.memory_peak_bytes, 5);
    }
}
