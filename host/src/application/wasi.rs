//! The small part of WASI that language runtimes require at startup. No network, no files: any other call traps.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use legacy_websocket_shell::{LogCategory, LogPermit, Printable};
use tracing::{error, info};
use wasmtime::StoreContextMut;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, Val};
use wasmtime::{Result, bail};

use crate::observe::log;
use crate::wasm::sandbox::Guest;

/// Longest line of an application's output that is logged as one, in bytes.
const MAX_LINE: usize = 1024;

/// How much of a call's output is held until it returns, in bytes; older output is logged early.
const MAX_HELD: usize = 64 * 1024;

/// How much an output stream accepts at once, in bytes.
const WRITE_BYTES: u64 = 4096;

/// Random bytes returned at once.
const MAX_RANDOM: u64 = 1 << 20;

/// An application's standard output and error go to the log, line by line, at the end of a call: output of a failing
/// call explains the failure.
#[derive(Default)]
pub(crate) struct Output {
    /// An incomplete line.
    line: Vec<u8>,
    /// The lines of this call, and their size in bytes.
    lines: VecDeque<Vec<u8>>,
    held: usize,
}

impl Output {
    fn write(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() == MAX_LINE {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        self.held += self.line.len();
        self.lines.push_back(std::mem::take(&mut self.line));
        while self.held > MAX_HELD
            && let Some(line) = self.lines.pop_front()
        {
            self.held -= line.len();
            tell(&line);
        }
    }

    /// A call has returned.
    pub(super) fn returned(&mut self) {
        self.held = 0;
        self.lines.drain(..).for_each(|line| tell(&line));
    }

    /// A call failed: no more output follows.
    pub(super) fn failed(&mut self) {
        self.end_line();
        for line in self.lines.drain(..) {
            if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Failure) {
                error!(unlogged, "application: {}", Printable::whole(&line));
            }
        }
    }
}

fn tell(line: &[u8]) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Output) {
        info!(unlogged, "application: {}", Printable::whole(line));
    }
}

/// Links the component's WASI imports, with these environment variables.
pub(super) fn link(
    linker: &mut Linker<Guest<Output>>,
    component: &Component,
    environment: &[(String, String)],
) -> Result<()> {
    let ty = component.component_type();
    for (import, _) in ty.imports(component.engine()) {
        let interface = import.split('@').next().unwrap_or_default();
        if interface.starts_with("wasi:") {
            define(&mut linker.instance(import)?, interface, environment)?;
        } else if interface != "hixie:legacy-websocket/types" {
            bail!("it imports {import}, which nobody provides");
        }
    }
    linker.define_unknown_imports_as_traps(component)
}

fn define(
    instance: &mut LinkerInstance<'_, Guest<Output>>,
    interface: &str,
    environment: &[(String, String)],
) -> Result<()> {
    match interface {
        "wasi:cli/environment" => {
            let pair = |(name, value): &(String, String)| {
                Val::Tuple(vec![Val::String(name.clone()), Val::String(value.clone())])
            };
            let variables = Val::List(environment.iter().map(pair).collect());
            instance
                .func_new("get-environment", move |_, _, _, results| answer(results, variables.clone()))?;
            instance.func_new("get-arguments", |_, _, _, results| answer(results, Val::List(Vec::new())))?;
            instance.func_new("initial-cwd", |_, _, _, results| answer(results, Val::Option(None)))
        }
        "wasi:cli/exit" => instance.func_new("exit", |_, _, _, _| bail!("it exited")),
        "wasi:cli/stdin" => resource(instance, "get-stdin"),
        "wasi:cli/stdout" => resource(instance, "get-stdout"),
        "wasi:cli/stderr" => resource(instance, "get-stderr"),
        "wasi:cli/terminal-stdin" => no_terminal(instance, "get-terminal-stdin"),
        "wasi:cli/terminal-stdout" => no_terminal(instance, "get-terminal-stdout"),
        "wasi:cli/terminal-stderr" => no_terminal(instance, "get-terminal-stderr"),
        "wasi:clocks/monotonic-clock" => {
            let start = Instant::now();
            instance
                .func_wrap("now", move |_: StoreContextMut<'_, _>, ()| Ok((nanoseconds(start.elapsed()),)))?;
            instance.func_wrap("resolution", |_: StoreContextMut<'_, _>, ()| Ok((1_u64,)))
        }
        "wasi:clocks/wall-clock" => {
            instance.func_new("now", |_, _, _, results| {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                answer(results, datetime(now))
            })?;
            instance
                .func_new("resolution", |_, _, _, results| answer(results, datetime(Duration::from_nanos(1))))
        }
        "wasi:filesystem/preopens" => {
            instance.func_new("get-directories", |_, _, _, results| answer(results, Val::List(Vec::new())))
        }
        "wasi:io/poll" => {
            // Nothing ever blocks.
            method(instance, "[method]pollable.block", |_, _| Ok(Val::Bool(true)))?;
            method(instance, "[method]pollable.ready", |_, _| Ok(Val::Bool(true)))
        }
        "wasi:io/streams" => define_streams(instance),
        "wasi:random/insecure" | "wasi:random/random" => {
            let (bytes, number) = match interface {
                "wasi:random/random" => ("get-random-bytes", "get-random-u64"),
                _ => ("get-insecure-random-bytes", "get-insecure-random-u64"),
            };
            instance.func_wrap(bytes, |_: StoreContextMut<'_, _>, (length,): (u64,)| {
                if length > MAX_RANDOM {
                    bail!("it requested {length} random bytes at once");
                }
                let mut bytes = vec![0; usize::try_from(length)?];
                getrandom::fill(&mut bytes)?;
                Ok((bytes,))
            })?;
            instance.func_wrap(number, |_: StoreContextMut<'_, _>, ()| Ok((getrandom::u64()?,)))
        }
        "wasi:random/insecure-seed" => {
            // Renamed in version 0.2.12.
            for name in ["insecure-seed", "get-insecure-seed"] {
                instance.func_wrap(name, |_: StoreContextMut<'_, _>, ()| {
                    let seed = RandomState::new();
                    Ok(((seed.hash_one(0), seed.hash_one(1)),))
                })?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn define_streams(instance: &mut LinkerInstance<'_, Guest<Output>>) -> Result<()> {
    method(instance, "[method]output-stream.check-write", |_, _| {
        Ok(Val::Result(Ok(Some(Box::new(Val::U64(WRITE_BYTES))))))
    })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        method(instance, name, |mut store, parameters| {
            if let [_, Val::List(bytes)] = parameters {
                let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
                store.data_mut().data.write(bytes.iter().filter_map(byte));
            }
            Ok(Val::Result(Ok(None)))
        })?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        method(instance, name, |_, _| Ok(Val::Result(Ok(None))))?;
    }
    method(instance, "[method]output-stream.subscribe", |store, _| handle(store))
}

/// Links a method of a resource, whose handle is the first argument.
fn method(
    instance: &mut LinkerInstance<'_, Guest<Output>>,
    name: &str,
    run: impl Fn(StoreContextMut<'_, Guest<Output>>, &[Val]) -> Result<Val> + Send + Sync + 'static,
) -> Result<()> {
    instance.func_new(name, move |mut store, _, parameters, results| {
        if let [Val::Resource(this), ..] = parameters {
            this.resource_drop(&mut store)?;
        }
        answer(results, run(store, parameters)?)
    })
}

fn resource(instance: &mut LinkerInstance<'_, Guest<Output>>, name: &str) -> Result<()> {
    instance.func_new(name, |store, _, _, results| answer(results, handle(store)?))
}

/// Streams and pollables have no data; they share the type of all resources that wasmtime creates dynamically.
fn handle(store: StoreContextMut<'_, Guest<Output>>) -> Result<Val> {
    Ok(Val::Resource(Resource::<()>::new_own(0).try_into_resource_any(store)?))
}

fn no_terminal(instance: &mut LinkerInstance<'_, Guest<Output>>, name: &str) -> Result<()> {
    instance.func_new(name, |_, _, _, results| answer(results, Val::Option(None)))
}

fn answer(results: &mut [Val], value: Val) -> Result<()> {
    if let Some(result) = results.first_mut() {
        *result = value;
    }
    Ok(())
}

fn datetime(time: Duration) -> Val {
    Val::Record(vec![
        ("seconds".into(), Val::U64(time.as_secs())),
        ("nanoseconds".into(), Val::U32(time.subsec_nanos())),
    ])
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
