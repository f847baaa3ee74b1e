//! `conformance check`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use legacy_websocket_trace::{Protocol, Setting, Variables};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Outcome, write_file};
use crate::check::{Target, Tls, check, is_exclusive, probe, probe_application};
use crate::chunking::Chunkings;
use crate::corpus::{self, Case};
use crate::known::Known;
use crate::report::{self, FORMAT, Report, Server, fold_refused, html, junit, summary};
use crate::{expectation, settings};

/// How long one address of a server may take to answer.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The server: ws://HOST:PORT/PATH, or wss:// with any certificate.
    #[arg(value_parser = Url::parse)]
    url: Url,

    /// A protocol that it speaks: draft75, draft76, hybi7, hybi8 or rfc6455 (repeatable). Cases of others do not apply,
    /// and it must not refuse every handshake of one that is named. By default all are tried, and those that it always
    /// refuses do not apply.
    #[arg(long, value_name = "NAME", value_parser = spoken)]
    protocol: Vec<Protocol>,

    /// The server echoes every message. Otherwise only handshakes and closing can be checked.
    #[arg(long)]
    echo: bool,

    /// Control address of its application, as described in the suite's README. Enables the cases that need the
    /// application to act and, if it can advance the server's clock, those that need time to pass.
    #[arg(long, value_name = "HOST:PORT")]
    application: Option<String>,

    /// The server's name in the report. By default the URL.
    #[arg(long)]
    name: Option<String>,

    /// A setting that the server was started with, as "origin http://example.com" (repeatable). Only cases that need
    /// exactly these settings apply.
    #[arg(long, value_name = "NAME VALUE")]
    setting: Vec<String>,

    /// The value of Host in requests. By default that of the URL.
    #[arg(long)]
    host: Option<String>,

    /// The value of Origin in requests. By default http:// and the host.
    #[arg(long)]
    origin: Option<String>,

    /// Only cases whose names contain this (repeatable).
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,

    /// Known failures, in TOML: [server name], then "area/case" = "reason".
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,

    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Concurrent cases.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: u16,

    /// How clients' bytes are split into writes. The server gets time to read each write.
    #[arg(long, value_enum, default_value_t = Chunkings::Parts)]
    chunking: Chunkings,

    /// The seed of --chunking random.
    #[arg(long, value_name = "N", default_value_t = 76)]
    seed: u64,

    /// How long the server has to read one write before the next, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pause: u64,

    /// How long to wait for something expected, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    patience: u64,

    /// How long a case may let time pass, in seconds. Some wait for the deadlines of a server with our defaults, up
    /// to an hour; none runs by default.
    #[arg(long, value_name = "S", default_value_t = 0)]
    longest_pause: u64,

    /// How long the server must be silent before nothing more is expected, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 150)]
    quiet: u64,

    /// Another corpus. Its snapshots are in the folder `snapshots` beside it.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,

    /// Maximum cases to list per group of failures with the same cause.
    #[arg(long, value_name = "N", default_value_t = 5)]
    max_cases: usize,

    /// Maximum groups to list of cases that only differ.
    #[arg(long, value_name = "N", default_value_t = 20)]
    max_differs: usize,
}

fn spoken(name: &str) -> Result<Protocol, String> {
    let found = Protocol::named(name).filter(|protocol| *protocol != Protocol::None);
    found.ok_or_else(|| "must be draft75, draft76, hybi7, hybi8 or rfc6455".into())
}

/// `ws://HOST[:PORT][/PATH]`, or `wss://`.
#[derive(Clone, Debug)]
pub(super) struct Url {
    text: String,
    secure: bool,
    authority: String,
    path: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (secure, rest) = match (text.strip_prefix("ws://"), text.strip_prefix("wss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("must begin with ws:// or wss://".into()),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        if authority.is_empty() || authority.contains('@') || text.contains([' ', '#']) {
            return Err("must be ws://HOST[:PORT][/PATH]".into());
        }
        Ok(Self { text: text.into(), secure, authority: authority.to_ascii_lowercase(), path: path.into() })
    }

    /// Connects to the first of the host's addresses that accepts.
    pub(super) fn resolve(&self) -> Result<SocketAddr, Box<dyn Error>> {
        let behind = self.authority.rsplit(']').next().unwrap_or_default();
        let port = if self.secure { 443 } else { 80 };
        let with_port =
            if behind.contains(':') { self.authority.clone() } else { format!("{}:{port}", self.authority) };
        let cannot = |error: io::Error| format!("cannot connect to {with_port}: {error}");
        let mut failed = None;
        for address in with_port.to_socket_addrs().map_err(cannot)? {
            match TcpStream::connect_timeout(&address, LONGEST_CONNECT) {
                Ok(_) => return Ok(address),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(|| format!("{with_port} has no address"), cannot).into())
    }

    /// The TLS to its server, if it is `wss://`.
    pub(super) fn tls(&self) -> Result<Option<Tls>, Box<dyn Error>> {
        if !self.secure {
            return Ok(None);
        }
        let host = match self.authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.authority.split(':').next().unwrap_or_default(),
        };
        Ok(Some(Tls::new(host).map_err(|error| format!("{host}: {error}"))?))
    }

    pub(super) fn variables(&self) -> Variables {
        Variables {
            host: self.authority.clone(),
            path: self.path.clone(),
            origin: self.origin(&self.authority),
        }
    }

    fn origin(&self, host: &str) -> String {
        format!("{}://{host}", if self.secure { "https" } else { "http" })
    }
}

/// The control address of the application.
pub(super) fn resolve_application(text: Option<&str>) -> Result<Option<SocketAddr>, String> {
    let Some(text) = text else { return Ok(None) };
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("--application {text}: {error}"))?;
    addresses.next().map(Some).ok_or_else(|| format!("--application {text} has no address"))
}

impl Check {
    pub(super) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        let target = self.target()?;
        let known = self.known.as_deref().map(Known::read).transpose()?.unwrap_or_default();
        let cases = self.cases()?;
        let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let cannot = |error: io::Error| format!("cannot connect to {}: {error}", self.url.text);
        runtime.block_on(probe(&target)).map_err(cannot)?;
        runtime.block_on(probe_application(&target))?;
        let cases = runtime.block_on(run_all(cases, Arc::new(target), self.jobs))?;
        let mut report = Report { format: FORMAT, server: self.server(), started, cases };
        fold_refused(&mut report);
        let stale = known.apply(&mut report);
        if let Some(path) = &self.json {
            write_file(path, |to| report.write(to))?;
        }
        if let Some(path) = &self.junit {
            write_file(path, |to| junit(&report, to))?;
        }
        if let Some(path) = &self.html {
            write_file(path, |to| html(std::slice::from_ref(&report), to))?;
        }
        summary(&report, self.max_cases, self.max_differs, anstream::stdout())?;
        for entry in &stale {
            anstream::println!("stale known failure: {entry}");
        }
        let fine = stale.is_empty() && !report.cases.iter().any(report::Case::is_failure);
        Ok(if fine { Outcome::Fine } else { Outcome::Failures })
    }

    fn target(&self) -> Result<Target, Box<dyn Error>> {
        let mut variables = self.url.variables();
        if let Some(host) = &self.host {
            variables.host.clone_from(host);
            variables.origin = self.url.origin(host);
        }
        if let Some(origin) = &self.origin {
            variables.origin.clone_from(origin);
        }
        let setting = |text: &String| {
            let (name, value) = text.split_once(' ').unwrap_or((text, ""));
            Setting { name: name.into(), value: value.into() }
        };
        let settings: Vec<_> = self.setting.iter().map(setting).collect();
        // A mistyped setting would make every case inapplicable.
        settings::options(&settings)?;
        Ok(Target {
            address: self.url.resolve()?,
            tls: self.url.tls()?,
            variables,
            protocols: self.protocol.clone(),
            echo: self.echo,
            settings,
            patience: Duration::from_millis(self.patience),
            longest_pause: Duration::from_secs(self.longest_pause),
            quiet: Duration::from_millis(self.quiet),
            chunkings: self.chunking,
            seed: self.seed,
            pause: Duration::from_millis(self.pause),
            application: resolve_application(self.application.as_deref())?,
        })
    }

    fn server(&self) -> Server {
        Server {
            name: self.name.clone().unwrap_or_else(|| self.url.text.clone()),
            url: self.url.text.clone(),
            protocols: self.protocol.iter().map(|protocol| protocol.name().into()).collect(),
            refused: Vec::new(),
            echo: self.echo,
            settings: self.setting.clone(),
        }
    }

    /// The selected cases, each with its snapshot.
    fn cases(&self) -> Result<Vec<(Case, String)>, Box<dyn Error>> {
        let folder = self.corpus.clone().unwrap_or_else(corpus::folder);
        let snapshots = expectation::beside(&folder);
        let mut cases = Vec::new();
        for case in corpus::load(&folder)? {
            if self.case.is_empty() || self.case.iter().any(|text| case.id.contains(text)) {
                let path = expectation::path(&snapshots, &case.id);
                let snapshot = fs::read_to_string(&path).map_err(|error| {
                    format!("{}: {error} (is the case blessed? `conformance bless`)", path.display())
                })?;
                cases.push((case, snapshot));
            }
        }
        if cases.is_empty() { Err("no case has such a name".into()) } else { Ok(cases) }
    }
}

/// Checks cases concurrently, and shows progress.
async fn run_all(
    cases: Vec<(Case, String)>,
    target: Arc<Target>,
    jobs: u16,
) -> Result<Vec<report::Case>, Box<dyn Error>> {
    // Hidden automatically if standard error is not a terminal.
    let bar = ProgressBar::new(cases.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let permits = Arc::new(Semaphore::new(jobs.into()));
    let begun = Arc::new(Mutex::new(Vec::new()));
    let mut running = JoinSet::new();
    for (case, snapshot) in cases {
        let (permits, begun, target) = (Arc::clone(&permits), Arc::clone(&begun), Arc::clone(&target));
        running.spawn(async move {
            let share = if is_exclusive(&case, &target) { jobs } else { 1 };
            let _permits = permits.acquire_many_owned(share.into()).await;
            begun.lock().unwrap_or_else(PoisonError::into_inner).push(case.id.clone());
            check(&case, &snapshot, &target).await
        });
    }
    let mut done = BTreeMap::new();
    while let Some(report) = running.join_next().await {
        let report = report?.map_err(|error| gone(&error, &begun, jobs))?;
        bar.set_message(report.id.clone());
        bar.inc(1);
        done.insert(report.id.clone(), report);
    }
    bar.finish_and_clear();
    Ok(done.into_values().collect())
}

/// Once a server is gone, further failures say nothing; the cases in progress at the time are worth reporting.
fn gone(error: &io::Error, begun: &Mutex<Vec<String>>, jobs: u16) -> String {
    let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    let last = begun.get(begun.len().saturating_sub(2 * usize::from(jobs))..).unwrap_or_default();
    format!("the server is gone: {error}. The last cases begun: {}", last.join(", "))
}
