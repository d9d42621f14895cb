//! Integration tests: one binary, so that it links once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing"
)]

mod calls;
mod direct;
mod fuzz;
mod network;
mod processes;
mod smoke;
