//! The words that supervisor, warden, keeper, init and worker say to each other.
//!
//! Each message is one frame of the sockets in [`crate::wire`]. Only our own
//! processes ever hold these sockets: a worker's end closes with its exec, so
//! no byte a guest writes can arrive here.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::{Enforced, Exit, SlotId};
use crate::jail::{Attachment, Program, Spec};
use crate::kernel::{DESCRIPTORS, Kernel};
use crate::limits::Limits;
use crate::supervisor::WardenConfig;

/// Supervisor to warden.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWarden {
    Configure(WardenConfig),
    /// With the guest's descriptors 0 to 3 attached, and what its `/out` lies in
    /// if that is a disk.
    Prepare {
        slot: SlotId,
        spec: Box<Spec>,
    },
    Attach {
        slot: SlotId,
        attachment: Attachment,
    },
    /// For a guest at the gate with its program, and its input attached.
    Start {
        slot: SlotId,
        program: Option<Program>,
    },
    Kill {
        slot: SlotId,
    },
}

/// Warden to supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWarden {
    Hello(Kernel),
    /// With the listening socket of its gateway attached, if it has one.
    Ready {
        slot: SlotId,
        enforced: Enforced,
    },
    Attached {
        slot: SlotId,
    },
    Refused {
        slot: SlotId,
        refusal: Refusal,
    },
    /// With the `/out` directory attached.
    Exited {
        slot: SlotId,
        exit: Exit,
    },
}

/// Warden to one keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToKeeper {
    /// With the guest's descriptors attached, and the disk of its `/out`.
    Build(Build),
    Attach(Attachment),
}

/// Build this, as this host user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Build {
    pub(crate) host_uid: u32,
    pub(crate) host_gid: u32,
    pub(crate) landlock_abi: u32,
    /// For a zygote: the host ids of its copies.
    pub(crate) copies: Option<Range<u32>>,
    pub(crate) spec: Box<Spec>,
}

/// Warden to the keeper of a frozen zygote: make a copy the guest of the slot
/// whose descriptors and namespaces are attached, in its control group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Graft {
    /// Of this order; a slot may have another guest before it is answered.
    pub(crate) number: u64,
    pub(crate) group: Vec<PathBuf>,
    pub(crate) limits: Limits,
    /// Whether its limits may be set higher later.
    pub(crate) waits: bool,
}

/// Keeper, init and worker to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Keeper: init exists, under this number; its pidfd is attached, the
    /// socket on which the worker hears of its start, and that of a gateway.
    Born { init: i32 },
    /// Init: the root stands; `/out` and the tmp filesystem are attached, and
    /// for a copy its namespaces (user, mounts, processes, control group) and
    /// its Landlock rules.
    Rooted { proc: bool },
    /// Keeper: the zygote stands still; its user and process namespaces are attached.
    Frozen,
    /// Keeper of a zygote: the guest of this order runs, and init will reap it as this.
    Grafted { number: u64, reaped_as: i32 },
    /// Keeper of a zygote: there is no copy, and nothing is left of it.
    NotGrafted { number: u64, why: String },
    /// Init of a zygote: this child has ended.
    Reaped { pid: i32, wait_status: i32 },
    /// Worker: inside every wall, waiting for [`ToWorker::Begin`].
    Ready,
    /// Keeper: the guest has its limits and files.
    Attached,
    /// Anyone: a wall could not be built.
    Refused(Refusal),
    /// Worker: the program could not be executed.
    ExecFailed(String),
    /// Init: the worker ended with this raw wait status.
    Ended { wait_status: i32 },
    /// Init: everyone else inside is dead too, and it ends now.
    Alone,
}

/// Warden to worker. (An enum, since an empty frame means the end.)
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Become the guest; at the gate as this program, with its input attached.
    Begin { program: Option<Program> },
}

/// A wall that could not be built, and what the kernel said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) wall: String,
    pub(crate) detail: String,
}

impl Refusal {
    /// What came with a frame could not be taken: the warden's own limit, and no
    /// reason to give up everybody else.
    pub(crate) fn no_descriptors() -> Self {
        Self {
            wall: DESCRIPTORS.to_owned(),
            detail: "the warden may open no more files; raise its limit of open files".to_owned(),
        }
    }
}

/// Turns any failure of a step into a refusal that names its wall.
pub(crate) trait OrRefuse<T> {
    fn or_refuse(self, wall: &str, attempt: &str) -> Result<T, Refusal>;
}

impl<T, E: std::fmt::Display> OrRefuse<T> for Result<T, E> {
    fn or_refuse(self, wall: &str, attempt: &str) -> Result<T, Refusal> {
        self.map_err(|error| Refusal {
            wall: wall.to_owned(),
            detail: format!("could not {attempt}: {error}"),
        })
    }
}
