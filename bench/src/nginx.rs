//! nginx as a proxy, with one worker.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::pages;
use crate::process::{Kind, Process};

/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts nginx in front of a server: with an upgrade for the path of the load's opening handshake, and with kept
/// connections for others.
pub(crate) fn start(backend: SocketAddr) -> Result<Process, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut install = Command::new(root.join("tests/install-nginx"));
    install.arg(root.join("target/nginx"));
    if ["CI", "TEST_INSTALL"].into_iter().all(|name| env::var_os(name).is_none()) {
        install.env("NO_INSTALL", "1");
    }
    let installed = install.output()?;
    if !installed.status.success() {
        return Err(String::from_utf8_lossy(&installed.stderr).trim().into());
    }
    let folder = root.join("target/bench-nginx");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let configuration = folder.join("nginx.conf");
    fs::write(&configuration, configure(&folder, listener.local_addr()?, backend))?;
    let mut command = Command::new(String::from_utf8(installed.stdout)?.trim());
    command.arg("-p").arg(&folder).arg("-c").arg(&configuration).arg("-e").arg(folder.join("log"));
    // The listening socket is standard input, so the system chooses the port.
    command.env("NGINX", "0;");
    let mut nginx = Process::inheriting(command, Kind::Nginx, listener)?;
    await_answer(nginx.address)?;
    nginx.measure_child()?;
    Ok(nginx)
}

/// The connection waits until a worker runs.
fn await_answer(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(pages::REQUEST)?;
    stream.read_exact(&mut [0])
}

fn configure(folder: &Path, listen: SocketAddr, backend: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "user root; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log warn;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            keepalive_requests 1000000000;
            upstream kept {{ server {backend}; keepalive 64; keepalive_requests 1000000000; }}
            server {{
                listen {listen};
                proxy_http_version 1.1;
                location / {{
                    proxy_pass http://kept;
                    proxy_set_header Host $http_host;
                    proxy_set_header Connection \"\";
                }}
                location /echo {{
                    proxy_pass http://{backend};
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $http_connection;
                }}
            }}
        }}"
    )
}
