//! Writes the components into a folder: `cargo run --example export -- FOLDER`.

use std::path::PathBuf;
use std::{env, fs, io};

use legacy_websocket_artifacts::COMPONENTS;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or_else(|| io::Error::other("name a folder"))?);
    fs::create_dir_all(&folder)?;
    for (name, bytes) in COMPONENTS {
        fs::write(folder.join(name), bytes)?;
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(())
}
