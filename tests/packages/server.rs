//! A server of one's own on the host without its features, with the protocol in the component.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use legacy_websocket_host::step::{Command, Event, Outgoing, Recipients};
use legacy_websocket_host::{
    Application, Budget, ComponentFactory, EngineFactory, EngineOptions, Server, ShellOptions, bind,
};

/// Everyone hears what anyone says.
#[derive(Debug)]
struct Chat;

impl Application for Chat {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        let everyone = |event: &'a Event| match event {
            Event::Messages(said) => {
                Some(Command::Send(Outgoing { to: Recipients::All, text: &said.text, ends: &said.ends }))
            }
            _ => None,
        };
        events.iter().filter_map(everyone).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let budget = Budget { call_timeout: Duration::from_secs(1), max_memory_bytes: 1 << 28 };
    let engine = EngineFactory::Component(Arc::new(ComponentFactory::embedded(budget)?));
    let server = Server::new(engine, EngineOptions::default(), ShellOptions::default(), || Box::new(Chat))?;
    let listener = bind("127.0.0.1:0".parse()?)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    server.run(vec![listener], pending(), pending()).await;
    Ok(())
}
