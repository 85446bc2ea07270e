//! Runs a script's stage, from the text to the value that it returns.
//!
//! Everything happens on a thread with a large stack, and whatever breaks
//! inside comes out as a [`Failure`]: the process itself never panics.

use std::sync::Arc;

use starlark::{
    PrintHandler,
    environment::{Globals, Module},
    eval::Evaluator,
    values::{Heap, Value, dict::DictRef},
};

use crate::{
    builtins,
    context::Context,
    dataset::{Access, Dataset},
    events::{self, Event},
    failure::Failure,
    guest::Guest,
    handler::{self, AskError},
    host::{Host, Reach, Stage},
    input::Input,
    loader::StandardModules,
    modules::json,
    network::Network,
    output,
    script::{Last, Script, Step},
    source::Source,
    value,
};

/// Address space for the parser and for calls inside each other; only what is
/// used takes memory.
const STACK_BYTES: usize = 512 << 20;

/// Makes the way to the world, when a stage has one.
pub type MakeNetwork = fn() -> Box<dyn Network>;

/// What a stage came to.
#[derive(Debug, Default)]
pub struct Returned {
    /// JSON; a lone step has none.
    pub value: Option<Vec<u8>>,
    /// Why the run fails although there is a value: a handler said so.
    pub failure: Option<Failure>,
}

/// Runs one stage of a file.
///
/// # Errors
///
/// What the script did wrong, and where.
pub fn run(
    guest: Guest,
    name: &str,
    text: &str,
    network: MakeNetwork,
) -> Result<Returned, Failure> {
    let (name, text) = (name.to_owned(), text.to_owned());
    on_large_stack(move || {
        let script = Script::parse(&name, &text)?;
        let host = Host::of_guest(guest, network());
        match &script {
            Script::Functions {
                source,
                stages,
                last,
            } => {
                let name = host.stage.name();
                Event::of_stage(name).iter().for_each(events::emit);
                let done = functions(&host, source, stages, *last);
                if let Err(failure) = &done {
                    events::emit(&Event::error(&failure.to_string()));
                }
                let over = Event::stage_stop(name, status(&done));
                over.iter().for_each(events::emit);
                done
            }
            Script::Steps(all) => steps(&host, all).map(Returned::of),
        }
    })
}

impl Returned {
    fn of(value: Option<Vec<u8>>) -> Self {
        Self {
            value,
            failure: None,
        }
    }
}

/// Does something that may need much stack, or panic.
///
/// # Errors
///
/// What it answers, or that it broke.
pub fn on_large_stack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let thread = thread
        .spawn(work)
        .map_err(|error| Failure::plain(format!("could not start a thread: {error}")))?;
    thread.join().unwrap_or_else(|broken| {
        let said = broken.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| broken.downcast_ref::<&str>().copied());
        let said = said.unwrap_or("no reason is known");
        Err(Failure::plain(format!("the interpreter gave up: {said}")))
    })
}

/// Prints a line, or an event in its place.
struct Printed;

impl PrintHandler for Printed {
    fn println(&self, text: &str) -> starlark::Result<()> {
        events::print(text).map_err(|error| starlark::Error::new_other(anyhow::Error::from(error)))
    }
}

/// An evaluator with every limit of the guest.
fn evaluator<'v, 'a>(module: &'a Module<'v>, host: &'a Host) -> Evaluator<'v, 'a, 'static> {
    let limits = host.guest.limits;
    let mut eval = Evaluator::new(module);
    eval.set_loader(&StandardModules);
    eval.set_print_handler(&Printed);
    eval.extra = Some(host);
    let set = [
        eval.set_max_callstack_size(limits.calls),
        eval.set_max_heap_size(limits.heap_bytes),
        eval.set_max_tick_count(limits.ticks),
    ];
    for one in set {
        one.expect("limits are set once, and none is zero");
    }
    eval
}

fn functions(
    host: &Host,
    source: &Source,
    stages: &[Stage],
    last: Last,
) -> Result<Returned, Failure> {
    let stage = host.stage;
    if !stages.contains(&stage) {
        // A file may well do without `transform`.
        let why = format!(
            "the run has the stage {0}, and the file defines no function {0}",
            stage.name()
        );
        return match stage {
            Stage::Transform => Ok(Returned::of(Some(b"null".to_vec()))),
            Stage::Download | Stage::Expose => Err(Failure::plain(why)),
        };
    }
    let ast = source.parse()?;
    let globals = builtins::of_functions();
    let told = |error: starlark::Error| Failure::of_starlark(&error, std::slice::from_ref(source));
    Module::with_temp_heap(|module| {
        let mut eval = evaluator(&module, host);
        eval.eval_module(ast, &globals).map_err(told)?;
        let heap = module.heap();
        let called = match (stage, last) {
            (Stage::Transform, Last::Handler) => handler::NAME,
            _ => stage.name(),
        };
        let function = module
            .get(called)
            .ok_or_else(|| Failure::plain(format!("the file has no function {called} any more")))?;
        if called == handler::NAME {
            return answer(host, function, &mut eval, source);
        }
        let context = Context::alloc(&host.guest, heap)?;
        let plain = |error: anyhow::Error| Failure::plain(format!("{error:#}"));
        let value = match stage {
            Stage::Download => {
                host.set_reach(Reach::Network);
                eval.eval_function(function, &[context], &[])
            }
            Stage::Expose | Stage::Transform => {
                host.set_reach(Reach::Data);
                let access = match stage {
                    Stage::Transform => Access::Writable,
                    Stage::Expose | Stage::Download => Access::ReadOnly,
                };
                let input = Input::only(&host.guest).map_err(plain)?;
                let dataset = Dataset::alloc(Arc::new(input), access, heap);
                let value = eval.eval_function(function, &[dataset, context], &[]);
                let value = value.map_err(told)?;
                let dataset = Dataset::of(dataset).map_err(plain)?;
                output::write(dataset, &host.guest.path("/out"), heap).map_err(plain)?;
                Ok(value)
            }
        };
        let value = returned(stage, value.map_err(told)?, heap)?;
        Ok(Returned::of(Some(value)))
    })
}

/// The last stage of a file that answers a request.
fn answer<'v>(
    host: &Host,
    function: Value<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
    source: &Source,
) -> Result<Returned, Failure> {
    host.set_reach(Reach::Data);
    let raw = handler::ask(function, &host.guest, eval).map_err(|error| match error {
        AskError::Plain(failure) => failure,
        AskError::Script(error) => Failure::of_starlark(&error, std::slice::from_ref(source)),
    })?;
    let answer = handler::answered(raw, eval.heap())?;
    Ok(Returned {
        value: Some(answer.value),
        failure: answer.failure,
    })
}

fn returned<'v>(stage: Stage, value: Value<'v>, heap: Heap<'v>) -> Result<Vec<u8>, Failure> {
    let mut raw = Vec::new();
    value::to_json(value, heap, &mut raw)
        .map_err(|error| Failure::plain(format!("{} returned: {error}", stage.name())))?;
    Ok(raw)
}

fn steps(host: &Host, all: &[Step]) -> Result<Option<Vec<u8>>, Failure> {
    let has_download = all.iter().any(Step::is_download);
    let globals = builtins::of_steps();
    events::emit(&Event::start(all.len()));
    let done = Module::with_temp_heap(|module| match host.stage {
        Stage::Expose => Err(Failure::plain("a file of steps has no stage expose")),
        Stage::Download if !has_download => Err(Failure::plain(
            "the run has the stage download, and no step is of the category download",
        )),
        Stage::Download => {
            let of_stage = |step: &Step| match step.is_download() {
                true => Some(Reach::Network),
                false => step.is_setup().then_some(Reach::Nothing),
            };
            each_step(host, &module, &globals, all, &of_stage)?;
            carried(&module).map(Some)
        }
        Stage::Transform => {
            if has_download {
                take_over(host, &module)?;
            }
            let of_stage = |step: &Step| match (step.is_download(), step.is_setup()) {
                (true, _) => None,
                (false, true) => Some(Reach::Nothing),
                (false, false) => Some(Reach::Data),
            };
            each_step(host, &module, &globals, all, &of_stage)?;
            warn_uncommitted(host, all);
            Ok(None)
        }
    });
    if let Err(failure) = &done {
        events::emit(&Event::error(&failure.to_string()));
    }
    events::emit(&Event::stop(status(&done)));
    done
}

fn status<T, E>(done: &Result<T, E>) -> &'static str {
    match done {
        Ok(_) => "succeeded",
        Err(_) => "failed",
    }
}

/// Runs the steps of a stage in their order; after a failure, none.
fn each_step<'v>(
    host: &Host,
    module: &Module<'v>,
    globals: &Globals,
    all: &[Step],
    of_stage: &dyn Fn(&Step) -> Option<Reach>,
) -> Result<(), Failure> {
    let sources: Vec<Source> = all.iter().map(|step| step.source.clone()).collect();
    let mut failed = None;
    for step in all {
        let reach = match (of_stage(step), &failed) {
            (_, Some(_)) => {
                events::emit(&Event::step_skip(step, "a step before it failed"));
                continue;
            }
            (None, None) => {
                events::emit(&Event::step_skip(step, "it belongs to another stage"));
                continue;
            }
            (Some(reach), None) => reach,
        };
        events::emit(&Event::step_start(step));
        host.set_reach(reach);
        let done = step.source.parse().and_then(|ast| {
            let mut eval = evaluator(module, host);
            let value = eval.eval_module(ast, globals);
            value.map_err(|error| Failure::of_starlark(&error, &sources))
        });
        events::emit(&Event::step_stop(step, status(&done)));
        failed = done.err();
    }
    failed.map_or(Ok(()), Err)
}

/// What download steps leave for the others: every name whose value JSON can
/// carry, as one object. Functions and modules stay behind.
fn carried(module: &Module<'_>) -> Result<Vec<u8>, Failure> {
    let mut object = serde_json::Map::new();
    for name in module.names() {
        let mut raw = Vec::new();
        if let Some(value) = module.get(name.as_str())
            && value::to_json(value, module.heap(), &mut raw).is_ok()
        {
            let value = serde_json::from_slice(&raw)
                .map_err(|error| Failure::plain(format!("{}: {error}", name.as_str())))?;
            object.insert(name.as_str().to_owned(), value);
        }
    }
    serde_json::to_vec(&object).map_err(|error| Failure::plain(error.to_string()))
}

/// Sets the names that the download steps left.
fn take_over(host: &Host, module: &Module<'_>) -> Result<(), Failure> {
    let Some(raw) = host.guest.value_of(Stage::Download)? else {
        let why = "the file has a download step, and the run has no stage download; \
                   let the function say which hosts it downloads from";
        return Err(Failure::plain(why));
    };
    let object = json::parse(&raw, module.heap())
        .map_err(|error| Failure::plain(format!("the value of download: {error}")))?;
    let Some(object) = DictRef::from_value(object) else {
        return Err(Failure::plain("the value of download is no object"));
    };
    for (name, value) in object.iter() {
        if let Some(name) = name.unpack_str() {
            module.set(name, value);
        }
    }
    Ok(())
}

fn warn_uncommitted(host: &Host, all: &[Step]) {
    let speaks_of_it = |step: &Step| step.source.text.contains("dataset.");
    if !host.committed.get() && all.iter().any(speaks_of_it) {
        let text = "this script did not call dataset.commit, no changes will be saved";
        events::warn(text);
    }
}
