//! The commands, one file each; here is only which is which.

pub mod audit;
pub mod cancel;
pub mod check;
pub mod connector;
pub mod dataset;
pub mod doctor;
pub mod function;
pub mod login;
pub mod logs;
pub mod network;
mod openapi;
pub mod output;
pub mod request;
pub mod rule;
pub mod run;
pub mod runs;
pub mod runtime;
pub mod secret;
pub mod serve;
pub mod status;
pub mod token;
pub mod transform;
pub mod user;

use crate::{
    client::Client,
    command_line::Command,
    commands::{function::FunctionCommand, runtime::RuntimeCommand},
    error::{CliError, Outcome},
    ui::Ui,
};

/// Does what the command line says.
pub fn run(ui: &mut Ui, command: Command) -> Result<Outcome, CliError> {
    let client = || Client::logged_in();
    match command {
        Command::Serve(args) => serve::run(ui, args),
        Command::Login(args) => login::run(ui, args),
        Command::Doctor(args) => doctor::run(ui, args),
        Command::Check(args) => check::run(ui, &args),
        Command::Openapi => openapi::run(ui),
        Command::Run(args) => run::run(ui, args),
        Command::Dataset(command) => dataset::run(ui, &client()?, command),
        Command::Function(FunctionCommand::Init(args)) => function::init::run(ui, &args),
        Command::Function(FunctionCommand::Export(args)) => function::export::run(ui, client, args),
        Command::Connector(args) => connector::run(ui, &client()?, &args),
        Command::Function(command) => function::run(ui, &client()?, command),
        Command::Runtime(RuntimeCommand::Images(command)) => runtime::images::run(ui, command),
        Command::Runtime(RuntimeCommand::Init(args)) => runtime::init::run(ui, &args),
        Command::Runtime(command) => runtime::run(ui, &client()?, command),
        Command::Save(args) => transform::save(ui, &client()?, &args),
        Command::Apply(args) => transform::apply(ui, &client()?, &args),
        Command::Runs(args) => runs::run(ui, &client()?, args),
        Command::Status(args) => status::run(ui, &client()?, args),
        Command::Logs(args) => logs::run(ui, &client()?, args),
        Command::Network(args) => network::run(ui, &client()?, &args),
        Command::Output(args) => output::run(ui, &client()?, args),
        Command::Cancel(args) => cancel::run(ui, &client()?, args),
        Command::Request(command) => request::run(ui, &client()?, command),
        Command::Rule(command) => rule::run(ui, client, command),
        Command::Audit(args) => audit::run(ui, &client()?, args),
        Command::User(command) => user::run(ui, &client()?, command),
        Command::Secret(command) => secret::run(ui, &client()?, command),
        Command::Token(command) => token::run(ui, &client()?, command),
    }
}
