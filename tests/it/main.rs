//! Integration tests: one binary, so that it links once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing"
)]

mod architecture;
mod atomic;
mod authority;
mod bad_input;
mod calls;
mod certificates;
mod clock;
mod connection;
mod deadlines;
mod departed;
mod direct;
mod disk;
mod drain;
mod evidence;
mod exports;
mod fleet;
mod flood;
mod foreign_log;
mod fuzz;
mod hangup;
mod health;
mod kills;
mod leak;
mod lists;
mod load;
mod log;
mod mandates;
mod matrix;
mod network;
mod nodes;
mod officers;
mod organisations;
mod overload;
mod pkits;
mod processes;
mod raw;
mod reconcile;
mod reload;
mod renewals;
mod reports;
mod restart;
mod rotation;
mod scrub;
mod seats;
mod smoke;
mod statistics;
mod store;
mod streams;
mod supplied;
mod tls_probe;
mod traces;
mod tree;
mod unknown;
mod versions;
mod witnesses;
