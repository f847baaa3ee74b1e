//! Addresses.

use crate::listening::convert_addresses;

convert_addresses!(super::bindings::wasi::sockets::network);
