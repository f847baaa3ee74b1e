use legacy_websocket_artifacts::*;
fn main() {
    std::fs::write("/tmp/w/e2.wasm", compose(ECHO, Wasi::P2).unwrap()).unwrap();
    std::fs::write("/tmp/w/e3.wasm", compose(ECHO, Wasi::P3).unwrap()).unwrap();
    println!("{} {}", SERVER.len(), SERVER_P3.len());
}
