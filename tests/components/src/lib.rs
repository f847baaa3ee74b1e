//! Components that only tests and benchmarks use: no package has them.

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
