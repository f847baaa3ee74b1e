//! The servers that are measured, each on one thread.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use legacy_websocket_host::{
    Budget, ComponentFactory, EngineFactory, EngineOptions, Server, ShellOptions, TestPage, bind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::spawn_local;

use crate::process::Kind;

/// Serves for ever; the address goes to standard output.
pub(crate) fn serve(kind: Kind) -> Result<(), Box<dyn Error>> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listener = bind("127.0.0.1:0".parse()?)?;
        println!("{}", listener.local_addr()?);
        let factory = match kind {
            Kind::Tcp => return echo(listener).await,
            Kind::Native => EngineFactory::Native,
            Kind::Component => {
                let budget = Budget { call_timeout: Duration::from_secs(1), max_memory_bytes: 1 << 30 };
                EngineFactory::Component(Arc::new(ComponentFactory::embedded(budget)?))
            }
        };
        let mut engine_options = EngineOptions::default();
        engine_options.echo = true;
        let mut options = ShellOptions::default();
        options.max_connections = 100_000;
        let server = Server::new(factory, engine_options, options, Box::new(TestPage))?;
        server.run(vec![listener], pending(), pending()).await;
        Ok(())
    })
}

async fn echo(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(async move {
            // Ends with the connection; how is no matter here.
            let _ = echo_one(stream).await;
        });
    }
}

async fn echo_one(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}
