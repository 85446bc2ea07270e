//! `strongroom runtime`: what functions can run on.

mod bytecode;
pub mod images;
pub mod init;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use strongroom_core::{
    digest::Digest,
    name::NameError,
    run::bytes_shown,
    runtime::{Definition, DefinitionError, RuntimeName, TOML_LEN_MAX, described_by},
    text::line_shown,
    tree::{Tree, TreeFile},
};
use strongroom_server::api::{Installed, NewRuntime, Page, Runtime};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    files::{self, FilesError, LocalFile},
    show,
    ui::Ui,
    upload,
};

#[derive(Debug, clap::Subcommand)]
pub enum RuntimeCommand {
    Add(AddArgs),
    Init(init::InitArgs),
    /// List the runtimes of the station
    List,
    /// Show a runtime, and what it brings
    Show {
        /// The runtime
        name: RuntimeName,
    },
    /// Install the packages that functions on a runtime are run with, as an admin
    ///
    /// The first push of such a function does it otherwise.
    Install {
        /// The runtime
        name: RuntimeName,
    },
    /// Remove a runtime that was added, as an admin
    ///
    /// While a function has a version on it, it stays, unless you say `--force`; then that version
    /// runs no more.
    Remove {
        /// The runtime
        name: RuntimeName,
        /// Remove it though functions use it
        #[arg(long)]
        force: bool,
    },
    #[command(flatten)]
    Images(images::ImageCommand),
}

/// Add a folder with a `runtime.toml` as a runtime, as an admin
///
/// The folder may hold packages, which functions on it can import. Every byte counts: an owner who
/// approved a function on a runtime is asked again once anything in the folder is another.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The folder
    folder: PathBuf,
    /// What the runtime is called [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<RuntimeName>,
    /// Put it in place of another runtime of this name
    #[arg(long)]
    replace: bool,
}

pub fn run(ui: &mut Ui, client: &Client, command: RuntimeCommand) -> Result<Outcome, CliError> {
    match command {
        RuntimeCommand::Add(args) => add(ui, client, args)?,
        RuntimeCommand::List => list(ui, client)?,
        RuntimeCommand::Show { name } => one(ui, client, &name)?,
        RuntimeCommand::Install { name } => install(ui, client, &name)?,
        RuntimeCommand::Remove { name, force } => {
            let query = if force { "?force=true" } else { "" };
            client.delete(&format!("/v1/runtimes/{name}{query}"))?;
            ui.say(format_args!("Removed {name}."))?;
        }
        // They need no station.
        RuntimeCommand::Images(command) => return images::run(ui, command),
        RuntimeCommand::Init(args) => return init::run(ui, &args),
    }
    Ok(Outcome::Yes)
}

fn install(ui: &mut Ui, client: &Client, name: &RuntimeName) -> Result<(), CliError> {
    let path = format!("/v1/runtimes/{name}/build");
    let installed: Installed = client.post_patiently(&path, &serde_json::json!({}))?;
    if ui.json {
        return ui.print_json(&installed);
    }
    let size = bytes_shown(installed.size_bytes);
    let files = show::count(installed.file_count, "file");
    ui.say(format_args!("Installed for {name}: {files}, {size}."))
}

fn add(ui: &mut Ui, client: &Client, args: AddArgs) -> Result<(), CliError> {
    let name = match args.name.clone() {
        Some(name) => name,
        None => name_of(&args.folder)?,
    };
    let found = files::find(&args.folder)?;
    let definition = definition(&found, &args.folder)?;
    let recompiles = definition.packages.is_some() && bytecode::is_missing(&found)?;
    let hashed = upload::hash(ui, found)?;
    let entries = hashed.iter().map(upload::Hashed::entry);
    let tree = Tree::new(entries).map_err(|source| FilesError::Tree {
        path: args.folder.clone(),
        source,
    })?;
    let sent = upload::send(ui, client, &hashed)?;
    let new = NewRuntime {
        name,
        files: tree.into(),
        replace: args.replace,
    };
    let added: Runtime = client.post("/v1/runtimes", &new)?;
    if ui.json {
        return ui.print_json(&added);
    }
    let what = if added.unchanged {
        "Nothing changed"
    } else {
        "Added"
    };
    let files = show::count(hashed.len() as u64, "file");
    let size = hashed.iter().map(|each| each.tree_file.size_bytes).sum();
    let size = bytes_shown(size);
    ui.say(format_args!("{what}: {files}, {size}, {sent} sent."))?;
    if recompiles {
        ui.say("Its Python modules are compiled anew in every run. For a faster start:")?;
        ui.say(format_args!("  {} FOLDER", bytecode::COMMAND))?;
    }
    Ok(writeln!(ui.out, "{} {}", added.name, digest(&added))?)
}

fn name_of(folder: &std::path::Path) -> Result<RuntimeName, CliError> {
    let real = std::fs::canonicalize(folder).map_err(|source| FilesError::Read {
        path: folder.to_owned(),
        source,
    })?;
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|error: NameError| {
        let message = format!("the folder's name is no name for a runtime: {error}");
        CliError::wrong_use_with_hint(message, "`--name NAME` gives it another")
    })
}

fn definition(found: &[LocalFile], folder: &Path) -> Result<Definition, CliError> {
    if found.is_empty() {
        return Err(nothing());
    }
    // Which files there are is all that counts here.
    let entries = found.iter().map(|file| {
        let tree_file = TreeFile {
            digest: Digest::of(b""),
            size_bytes: file.size_bytes,
        };
        (file.path.clone(), tree_file)
    });
    let tree = Tree::new(entries).map_err(|source| FilesError::Tree {
        path: folder.to_owned(),
        source,
    })?;
    let mut texts = BTreeMap::new();
    for path in described_by(&tree) {
        let file = found.iter().find(|file| file.path == path);
        let bytes = file.map_or(Ok(Vec::new()), |file| file.read(TOML_LEN_MAX as u64))?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|error| CliError::wrong_use(format!("{path}: {error}")))?;
        texts.insert(path, text);
    }
    if texts.is_empty() {
        return Err(nothing());
    }
    Definition::of_folder(&tree, &texts).map_err(wrong)
}

fn nothing() -> CliError {
    let message = DefinitionError::Nothing.to_string();
    CliError::wrong_use_with_hint(message, "docs/runtimes.md says what is in it")
}

fn wrong(error: DefinitionError) -> CliError {
    let cause = std::error::Error::source(&error);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    CliError::wrong_use(format!("{error}{cause}"))
}

fn list(ui: &mut Ui, client: &Client) -> Result<(), CliError> {
    let page: Page<Runtime> = client.get("/v1/runtimes", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |runtime: &Runtime| {
        vec![
            runtime.name.to_string(),
            runtime
                .digest
                .map_or("missing".to_owned(), |digest| digest.short()),
            functions(runtime),
            show::cell(&runtime.description),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = ["RUNTIME", "DIGEST", "FILES", "DESCRIPTION"];
    Ok(write!(ui.out, "{}", show::table(&header, &rows))?)
}

fn one(ui: &mut Ui, client: &Client, name: &RuntimeName) -> Result<(), CliError> {
    let runtime: Runtime = client.get(&format!("/v1/runtimes/{name}"), &[])?;
    if ui.json {
        return ui.print_json(&runtime);
    }
    writeln!(ui.out, "runtime      {}", runtime.name)?;
    writeln!(ui.out, "digest       {}", digest(&runtime))?;
    if !runtime.description.is_empty() {
        writeln!(ui.out, "description  {}", line_shown(&runtime.description))?;
    }
    if let Some(base) = &runtime.base {
        writeln!(ui.out, "base         {base}")?;
    }
    if let Some(image) = &runtime.image {
        writeln!(ui.out, "image        {image}")?;
    }
    writeln!(ui.out, "functions    {}", functions(&runtime))?;
    if !runtime.preload.is_empty() {
        writeln!(
            ui.out,
            "preloads     {}",
            line_shown(&runtime.preload.join(", "))
        )?;
    }
    let Some(added) = &runtime.added else {
        return Ok(());
    };
    writeln!(
        ui.out,
        "added        {} by {}",
        show::time(added.at_ms),
        added.author
    )?;
    writeln!(ui.out, "files        {}", added.tree)?;
    let files = added.files.iter().flatten();
    let row = |(path, file): (&String, &TreeFile)| {
        vec![
            show::cell(path),
            bytes_shown(file.size_bytes),
            file.digest.to_string(),
        ]
    };
    let rows: Vec<_> = files.map(row).collect();
    Ok(write!(
        ui.out,
        "\n{}",
        show::table(&["FILE", "SIZE", "DIGEST"], &rows)
    )?)
}

/// Which files are functions on it.
fn functions(runtime: &Runtime) -> String {
    match runtime.suffix.as_str() {
        "" => "static executables".to_owned(),
        suffix => format!("*{}", line_shown(suffix)),
    }
}

/// The digest that plans hold, or why there is none.
fn digest(runtime: &Runtime) -> String {
    match (&runtime.digest, &runtime.missing) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(why)) => line_shown(why),
        (None, None) => "missing".to_owned(),
    }
}
