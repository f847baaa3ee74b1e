//! The servers that are measured.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{process, thread};

use bytes::Bytes;
use legacy_websocket_host::step::{Command, Event, Outgoing, Recipients};
use legacy_websocket_host::{
    Application, ApplicationFactory, Budget, ComponentFactory, EngineFactory, EngineOptions, GatewayOptions,
    RouteOptions, Server, ShellOptions, TestPage, bind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, Sender};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::process::{Kind, Role};
use crate::{tungstenite, wasmtime};

const BUDGET: Budget = Budget { call_timeout: Duration::from_secs(1), max_memory_bytes: 1 << 30 };

const MAX_CONNECTIONS: usize = 100_000;

/// Serves until SIGTERM; the address goes to standard output.
pub(crate) fn serve(kind: Kind, role: Role, workers: usize) -> Result<(), Box<dyn Error>> {
    match kind {
        Kind::Wasmtime | Kind::WasmtimeP3 | Kind::BareWasmtimeP3 => return Err(wasmtime::exec(kind, role)),
        _ => {}
    }
    end_with_parent();
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listener = bind("127.0.0.1:0".parse()?)?;
        println!("{}", listener.local_addr()?);
        let factory = match kind {
            Kind::Tcp => return serve_tcp(listener, role).await,
            Kind::Native => EngineFactory::Native,
            Kind::Component | Kind::Application => {
                let factory = match role {
                    Role::Soak => ComponentFactory::from_file(&faulty()?, BUDGET)?,
                    Role::Echo | Role::Broadcast | Role::Work | Role::Greeting => {
                        ComponentFactory::embedded(BUDGET)?
                    }
                };
                EngineFactory::Component(Arc::new(factory))
            }
            Kind::Tungstenite if role == Role::Echo => return tungstenite::serve(listener).await,
            Kind::Tungstenite => return Err("tokio-tungstenite only echoes".into()),
            Kind::Wasmtime
            | Kind::WasmtimeP3
            | Kind::BareWasmtimeP3
            | Kind::WebsocketDriver
            | Kind::Netty
            | Kind::Ws
            | Kind::Nginx => {
                return Err("a program of its own".into());
            }
            Kind::Gateway => return Err("a command of its own".into()),
        };
        let engine_options = EngineOptions { echo: role == Role::Echo, ..EngineOptions::default() };
        let mut options = ShellOptions::default();
        options.max_connections = MAX_CONNECTIONS;
        options.workers = workers;
        let server = match (kind, role) {
            (Kind::Application, role) => {
                let component = match role {
                    Role::Echo => legacy_websocket_artifacts::ECHO,
                    Role::Soak => test_components::FAULTY_APPLICATION,
                    Role::Broadcast | Role::Work | Role::Greeting => {
                        return Err("no component does that".into());
                    }
                };
                let application = ApplicationFactory::new("application", component, &BUDGET.into())?;
                Server::with_component(factory, engine_options, options, application)?
            }
            (_, Role::Soak) => return Err("what can trap is a component".into()),
            (_, Role::Echo) => Server::new(factory, engine_options, options, || Box::new(TestPage))?,
            (_, Role::Broadcast) => Server::new(factory, engine_options, options, || Box::new(Broadcaster))?,
            (_, Role::Work) => Server::new(factory, engine_options, options, || Box::new(Worker))?,
            (_, Role::Greeting) => {
                Server::new(factory, engine_options, options, || Box::new(Greeting::default()))?
            }
        };
        run(server, listener).await
    })
}

/// Serves as a gateway with one worker until SIGTERM; the address goes to standard output.
pub(crate) fn serve_gateway(backend: SocketAddr) -> Result<(), Box<dyn Error>> {
    end_with_parent();
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listener = bind("127.0.0.1:0".parse()?)?;
        println!("{}", listener.local_addr()?);
        let factory = EngineFactory::Component(Arc::new(ComponentFactory::embedded(BUDGET)?));
        let mut options = ShellOptions::default();
        options.max_connections = MAX_CONNECTIONS;
        let mut gateway = GatewayOptions::default();
        gateway.routes = vec![RouteOptions::new("/", vec![format!("http://{backend}").parse()?])];
        run(Server::gateway(factory, EngineOptions::default(), options, gateway)?, listener).await
    })
}

async fn run(server: Server, listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async {
        terminated.recv().await;
    };
    let totals = server.run(vec![listener], stop, sleep(Duration::from_secs(10))).await;
    println!("{} {}", totals.traps, totals.application_traps);
    Ok(())
}

/// The parent holds the other end of standard input.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
}

/// Sends every message to everyone.
#[derive(Debug)]
struct Broadcaster;

impl Application for Broadcaster {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        let answer = |event: &'a Event| match event {
            Event::Messages(said) => {
                Some(Command::Send(Outgoing { to: Recipients::All, text: &said.text, ends: &said.ends }))
            }
            _ => None,
        };
        events.iter().filter_map(answer).collect()
    }
}

/// Takes about 0.1 ms per message.
#[derive(Debug)]
struct Worker;

impl Application for Worker {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        const STEPS: u64 = 200_000;
        let answer = |event: &'a Event| match event {
            Event::Messages(said) => {
                for step in 0..STEPS * said.ends.len() as u64 {
                    black_box(step);
                }
                let to = Recipients::One(said.connection);
                Some(Command::Send(Outgoing { to, text: &said.text, ends: &said.ends }))
            }
            _ => None,
        };
        events.iter().filter_map(answer).collect()
    }
}

/// Sends a large message to each client that connects.
#[derive(Debug)]
struct Greeting {
    text: String,
    ends: [u32; 1],
}

impl Default for Greeting {
    fn default() -> Self {
        const BYTES: u32 = 3_900_000;
        Self { text: "x".repeat(BYTES as usize), ends: [BYTES] }
    }
}

impl Application for Greeting {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        let Self { text, ends } = self;
        let greet = |event: &Event| match event {
            Event::Connected(connected) => {
                let to = Recipients::One(connected.connection);
                Some(Command::Send(Outgoing { to, text: &*text, ends: &*ends }))
            }
            _ => None,
        };
        events.iter().filter_map(greet).collect()
    }
}

/// Writes the build of the engine that traps on command to a file.
fn faulty() -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("legacy-websocket-faulty-{}.wasm", process::id()));
    std::fs::write(&path, test_components::FAULTY_LIBRARY)?;
    Ok(path)
}

async fn serve_tcp(listener: TcpListener, role: Role) -> Result<(), Box<dyn Error>> {
    let (everybody, _) = broadcast::channel(1024);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let everybody = everybody.clone();
        // The task ends with the connection; its result does not matter.
        spawn_local(async move {
            match role {
                Role::Echo | Role::Soak | Role::Work | Role::Greeting => echo(stream).await,
                Role::Broadcast => relay(stream, everybody).await,
            }
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// Sent by bare TCP in place of an opening handshake: from now on, this connection receives every broadcast.
pub(crate) const SUBSCRIBED: &[u8] = b"!";

/// As in tokio's chat examples.
async fn relay(mut stream: TcpStream, everybody: Sender<Bytes>) -> io::Result<()> {
    let mut said = everybody.subscribe();
    let (mut from, mut to) = stream.split();
    let mut buffer = vec![0; 16 * 1024];
    to.write_all(SUBSCRIBED).await?;
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read? {
                0 => return Ok(()),
                // Sending fails only without subscribers, and we are one.
                read => drop(everybody.send(Bytes::copy_from_slice(&buffer[..read]))),
            },
            said = said.recv() => to.write_all(&said.map_err(io::Error::other)?).await?,
        }
    }
}
