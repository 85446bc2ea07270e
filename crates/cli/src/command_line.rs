//! What can be written after `strongroom`.

use clap::{Parser, Subcommand};

use crate::commands::{
    audit::AuditArgs,
    cancel::CancelArgs,
    check::CheckArgs,
    connector::ConnectorArgs,
    dataset::DatasetCommand,
    doctor::DoctorArgs,
    function::FunctionCommand,
    login::LoginArgs,
    logs::LogsArgs,
    network::NetworkArgs,
    output::OutputArgs,
    request::RequestCommand,
    rule::RuleCommand,
    run::RunArgs,
    runs::RunsArgs,
    runtime::RuntimeCommand,
    secret::SecretCommand,
    serve::ServeArgs,
    status::StatusArgs,
    token::TokenCommand,
    transform::{ApplyArgs, SaveArgs},
    user::UserCommand,
};

/// Run other people's code next to your data, and let nothing out but what you allowed
///
/// Data goes to stdout, talk to stderr. The exit code is 0 when it went well, 1 when the answer
/// is no (a run did not succeed, a wall is missing) and 2 when there is no answer.
///
/// STRONGROOM_URL and STRONGROOM_TOKEN come before what `strongroom login` stored.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, max_term_width = 100)]
pub struct CommandLine {
    /// Print what the station answers as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(ServeArgs),
    Login(LoginArgs),
    Doctor(DoctorArgs),
    /// Share data that others may compute on but not read
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Publish functions that others may run
    #[command(subcommand)]
    Function(FunctionCommand),
    Check(CheckArgs),
    Connector(ConnectorArgs),
    Run(RunArgs),
    Save(SaveArgs),
    Apply(ApplyArgs),
    Runs(RunsArgs),
    Status(StatusArgs),
    Logs(LogsArgs),
    Network(NetworkArgs),
    Output(OutputArgs),
    Cancel(CancelArgs),
    /// See what functions can run on, and add to it as an admin
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// Answer those who ask to run functions on your data
    #[command(subcommand)]
    Request(RequestCommand),
    /// Answer future requests by rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Keep what your runs may be told and nobody else is
    #[command(subcommand)]
    Secret(SecretCommand),
    Audit(AuditArgs),
    /// Add and list users, as an admin
    #[command(subcommand)]
    User(UserCommand),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the station's OpenAPI document
    #[command(hide = true)]
    Openapi,
}
