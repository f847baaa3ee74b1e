//! A chat: every message goes to everyone. With `/nick NAME`, `/stats`, `/protocol`, a history for new members and a
//! page over HTTP, for every browser with WebSocket.

use std::collections::VecDeque;

use legacy_websocket_application::{
    Application, Command, Connected, ConnectionId, Connections, Event, Protocol, Recipients, Request, export,
};

const PAGE: &str = include_str!("../chat.html");

/// Limits of the history that new members are shown.
const HISTORY: usize = 20;
const HISTORY_BYTES: usize = 64 * 1024;

/// Members that `/stats` lists by name.
const LISTED: usize = 50;

const MAX_NAME_CHARS: usize = 20;

/// The close code for a message of a type that the receiver does not accept (RFC 6455 section 7.4.1).
const UNSUPPORTED_DATA: u16 = 1003;

#[derive(Debug, Default)]
struct Chat {
    members: Connections<Member>,
    history: VecDeque<String>,
    said: u64,
    /// Guests so far. Connection ids have gaps, since HTTP requests are connections, too.
    guests: u64,
}

#[derive(Debug)]
struct Member {
    name: String,
    protocol: Protocol,
}

impl Application for Chat {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        if events.is_empty() {
            // The first call. Names, history and counts are shared by all members.
            return vec![Command::SingleInstance];
        }
        let mut commands = Vec::new();
        for event in events {
            match event {
                Event::Connected(connected) => self.join(&connected, &mut commands),
                Event::Messages(messages) => {
                    for text in messages.iter() {
                        self.take(messages.connection, text, &mut commands);
                    }
                }
                Event::Binary(binary) => {
                    commands.push(Command::close_with(binary.connection, UNSUPPORTED_DATA, "text only"));
                }
                Event::Closed(closed) => {
                    if let Some(member) = self.members.remove(&closed) {
                        commands.push(notice(Recipients::All, &format!("{} left", member.name)));
                    }
                }
                Event::Request(request) => commands.push(answer(&request)),
                _ => {}
            }
        }
        commands
    }
}

impl Chat {
    fn join(&mut self, connected: &Connected, commands: &mut Vec<Command>) {
        let id = connected.connection;
        let name = self.guest();
        let greeting = format!("* you are {name}");
        commands.push(Command::send_texts(Recipients::One(id), self.history.iter().chain([&greeting])));
        commands.push(notice(Recipients::AllBut(id), &format!("{name} joined")));
        self.members.insert(connected, Member { name, protocol: connected.protocol });
    }

    /// An unused name.
    fn guest(&mut self) -> String {
        loop {
            self.guests += 1;
            let name = format!("guest {}", self.guests);
            if self.members.values().all(|member| member.name != name) {
                return name;
            }
        }
    }

    fn take(&mut self, id: ConnectionId, text: &str, commands: &mut Vec<Command>) {
        let to_sender = |text: &str| notice(Recipients::One(id), text);
        commands.push(match text.split_once(' ').unwrap_or((text, "")) {
            ("/nick", name) => match self.rename(id, name.trim()) {
                Ok(line) => notice(Recipients::All, &line),
                Err(why) => to_sender(why),
            },
            ("/stats", _) => to_sender(&self.stats()),
            ("/protocol", _) => match self.members.get(id) {
                Some(member) => to_sender(&format!("you speak {}", name_of(member.protocol))),
                None => to_sender("you have left"),
            },
            (command, _) if command.starts_with('/') => to_sender(&format!("no such command: {command}")),
            _ => {
                let name = self.members.get(id).map_or("somebody", |member| &member.name);
                let line = format!("{name}: {text}");
                self.said += 1;
                self.remember(line.clone());
                Command::send(Recipients::All, line)
            }
        });
    }

    fn remember(&mut self, line: String) {
        self.history.push_back(line);
        let bytes = |history: &VecDeque<String>| history.iter().map(String::len).sum::<usize>();
        while self.history.len() > HISTORY || bytes(&self.history) > HISTORY_BYTES {
            self.history.pop_front();
        }
    }

    fn rename(&mut self, id: ConnectionId, name: &str) -> Result<String, &'static str> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            return Err("a name has 1 to 20 characters");
        }
        if self.members.values().any(|member| member.name == name) {
            return Err("this name is taken");
        }
        let member = self.members.get_mut(id).ok_or("you have left")?;
        let old = std::mem::replace(&mut member.name, name.into());
        Ok(format!("{old} is now {name}"))
    }

    fn stats(&self) -> String {
        let member = |member: &Member| format!("{} ({})", member.name, name_of(member.protocol));
        let listed: Vec<_> = self.members.values().take(LISTED).map(member).collect();
        let more = self.members.len().saturating_sub(LISTED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{} here: {}{more}; {} messages", self.members.len(), listed.join(", "), self.said)
    }
}

fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Draft75 => "draft 75",
        Protocol::Draft76 => "draft 76",
        Protocol::Hybi7 => "hybi-07",
        Protocol::Hybi8 => "hybi-08",
        Protocol::Rfc6455 => "RFC 6455",
    }
}

fn notice(to: Recipients, text: &str) -> Command {
    Command::send(to, format!("* {text}"))
}

fn answer(request: &Request) -> Command {
    match (request.method(), &*request.path()) {
        ("GET" | "HEAD", "/") => request.respond_html(200, PAGE),
        ("GET" | "HEAD", _) => request.respond_text(404, "There is only / here.\n"),
        _ => request.respond_text(405, "GET and HEAD only.\n"),
    }
}

export!(Chat);

#[cfg(test)]
mod tests {
    use legacy_websocket_application::testing::{Close, Server};

    use super::*;

    fn server() -> Server<Chat> {
        Server::new(Chat::default())
    }

    #[test]
    fn clients_of_all_protocols_talk() {
        let mut server = server();
        let anna = server.client(Protocol::Draft75).connect().unwrap();
        server.say(anna, "anybody there?");
        assert_eq!(server.heard(anna), ["* you are guest 1", "guest 1: anybody there?"]);
        let bob = server.client(Protocol::Rfc6455).connect().unwrap();
        assert_eq!(server.heard(bob), ["guest 1: anybody there?", "* you are guest 2"]);
        server.say(bob, "yes");
        server.close(bob);
        assert_eq!(server.heard(anna), ["* guest 2 joined", "guest 2: yes", "* guest 2 left"]);
    }

    #[test]
    fn names_are_unique() {
        let mut server = server();
        let anna = server.client(Protocol::Draft76).connect().unwrap();
        let bob = server.client(Protocol::Hybi8).connect().unwrap();
        server.say(anna, "/nick guest 3");
        let carl = server.client(Protocol::Draft76).connect().unwrap();
        assert_eq!(server.heard(carl), ["* you are guest 4"]);
        let _ = server.heard(bob);
        server.say_all(bob, ["/nick guest 4", "/nick", "/nick Bob", "/away"]);
        let heard = server.heard(bob);
        assert_eq!(
            heard,
            [
                "* this name is taken",
                "* a name has 1 to 20 characters",
                "* guest 2 is now Bob",
                "* no such command: /away",
            ]
        );
        server.say_all(bob, ["/protocol", "/stats"]);
        let stats = "* 3 here: guest 3 (draft 76), Bob (hybi-08), guest 4 (draft 76); 0 messages";
        assert_eq!(server.heard(bob), ["* you speak hybi-08", stats]);
    }

    #[test]
    fn newcomers_hear_the_last_lines() {
        let mut server = server();
        let anna = server.client(Protocol::Draft76).connect().unwrap();
        for line in 0..=HISTORY {
            server.say(anna, &line.to_string());
        }
        let bob = server.client(Protocol::Draft75).connect().unwrap();
        let heard = server.heard(bob);
        assert_eq!((heard.len(), heard[0].as_str()), (HISTORY + 1, "guest 1: 1"));
    }

    #[test]
    fn binary_messages_are_not_for_a_chat() {
        let mut server = server();
        let anna = server.client(Protocol::Rfc6455).connect().unwrap();
        server.say_binary(anna, b"?");
        let close = Close { code: Some(UNSUPPORTED_DATA), reason: "text only".into(), was_clean: true };
        assert_eq!(server.closed(anna), Some(&close));
    }

    #[test]
    fn there_is_one_page() {
        let mut server = server();
        assert_eq!(server.get("/?x").text(), PAGE);
        assert_eq!(server.get("/x").status, 404);
        assert_eq!(server.request("POST", "/").send().status, 405);
    }
}
