//! The tests of a whole hub, over mutual TLS on loopback.

mod architecture;
mod atomic;
mod bad_input;
mod calls;
mod direct;
mod leak;
mod log;
mod matrix;
mod network;
mod smoke;
mod store;
mod streams;
mod unknown;
