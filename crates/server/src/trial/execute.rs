//! A trial from its first guest to what came out of its last.

use std::path::PathBuf;

use strongroom_core::{
    id::RunId,
    name::Name,
    network::made::RequestMade,
    permit::Permits,
    plan::Inputs,
    run::{Enforced, Reason, Stream, Usage},
    stage::Stage,
};
use strongroom_run::{Backend, Course, Ended, Job, LogChunk, Reach, stages::LAID};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::{TrialEnded, keep, network::TrialNetwork, you};

/// A trial that is about to begin.
pub(super) struct Whole {
    pub run: RunId,
    pub job: Job,
    /// Where the plan names hosts.
    pub network: Option<TrialNetwork>,
    pub out: Option<PathBuf>,
}

pub(super) async fn execute(
    backend: &Backend,
    whole: Whole,
    mut on_line: impl FnMut(Stream, &str),
) -> TrialEnded {
    let run = whole.run.clone();
    let plan = whole.job.plan.clone();
    let mut course = Course::new(Permits::trial(run.clone(), &plan));
    let mut ended = TrialEnded {
        run,
        reason: Reason::Succeeded,
        usage: Usage::default(),
        value: None,
        files: Vec::new(),
        enforced: Enforced::default(),
        requests: Vec::new(),
        stage: None,
        plan,
    };
    let (cancel, mut cancelled) = oneshot::channel();
    let interrupt = tokio::spawn(async move {
        if asked_to_end().await.is_ok() {
            let you = you();
            let _ = cancel.send(you);
        }
    });
    let last = loop {
        match stage(backend, &whole, &mut course, &mut cancelled, &mut on_line).await {
            Ok(Passed {
                enforced,
                stage,
                guest,
                requests,
            }) => {
                ended.enforced = enforced;
                ended.requests.extend(requests);
                let failed = !guest.reason.is_success();
                ended.stage = (failed && 1 < ended.plan.stages.len()).then_some(stage);
                if stage == Stage::Transform || failed {
                    break Ok(guest);
                }
            }
            Err(reason) => break Err(reason),
        }
    };
    interrupt.abort();
    ended.usage = course.usage();
    match last {
        Ok(guest) => take(&mut ended, guest, whole.out),
        Err(reason) => ended.reason = reason,
    }
    ended
}

/// Waits for Ctrl-C, or for whoever ends this program or its terminal.
async fn asked_to_end() -> std::io::Result<()> {
    let mut ended = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = ended.recv() => {}
        _ = hung_up.recv() => {}
    }
    Ok(())
}

/// A stage that is over.
struct Passed {
    enforced: Enforced,
    stage: Stage,
    guest: Ended,
    requests: Vec<RequestMade>,
}

/// Runs the next stage in a sandbox of its own.
async fn stage(
    backend: &Backend,
    whole: &Whole,
    course: &mut Course,
    cancelled: &mut oneshot::Receiver<Name>,
    on_line: impl FnMut(Stream, &str),
) -> Result<Passed, Reason> {
    let at_fault = |what: String| Reason::HostError { what };
    let permit = course.next_stage()?;
    let permit = permit.ok_or_else(|| at_fault("the plan has no stage".to_owned()))?;
    let stage = permit.stage();
    let mut job = whole.job.clone();
    if !stage.sees_data() {
        job.inputs = Inputs::None;
    }
    if stage.has_network() && whole.network.is_some() {
        job.reach = Reach::Gateway;
    }
    let folder = match course.carried_to(stage) {
        None => None,
        Some(carried) => {
            let folder = tempfile::tempdir().and_then(|folder| {
                carried.lay_into(folder.path())?;
                Ok(folder)
            });
            Some(folder.map_err(|error| at_fault(format!("could not hand a value on: {error}")))?)
        }
    };
    job.stage_dir = folder.as_ref().map(|folder| folder.path().join(LAID));
    let prepared = backend.prepare(permit, job).await;
    let mut prepared = prepared.map_err(|error| error.reason())?;
    let enforced = prepared.enforced().clone();
    let (sender, lines) = mpsc::channel(256);
    let listener = prepared.take_gateway();
    let guest = prepared.run_stage(sender, cancelled);
    let guest = async { tokio::join!(guest, tell(lines, on_line)).0 };
    let (mut guest, requests) = match (listener, &whole.network) {
        (Some(listener), Some(network)) => network.beside(&whole.job.plan, listener, guest).await?,
        _ => (guest.await, Vec::new()),
    };
    course.took(stage, &mut guest);
    Ok(Passed {
        enforced,
        stage,
        guest,
        requests,
    })
}

/// Takes what came out of the last guest.
fn take(ended: &mut TrialEnded, guest: Ended, out: Option<PathBuf>) {
    ended.reason = guest.reason;
    if !matches!(ended.reason, Reason::Succeeded | Reason::Failed { .. }) {
        return;
    }
    ended.value = guest.value;
    if let Some(folder) = guest.out {
        let limits = ended.plan.limits;
        // Nothing else is going on in this process.
        match folder.collect(&limits, |path, _, from| {
            keep::keep(out.as_deref(), path, from)
        }) {
            Ok(files) => ended.files = files,
            Err(error) if ended.reason.is_success() => ended.reason = error.reason(),
            Err(_) => {}
        }
    }
    ended.usage.out_bytes += ended.files.iter().map(|file| file.size_bytes).sum::<u64>();
}

async fn tell(mut lines: mpsc::Receiver<LogChunk>, mut on_line: impl FnMut(Stream, &str)) {
    while let Some(LogChunk { stream, text }) = lines.recv().await {
        on_line(stream, &text);
    }
}
