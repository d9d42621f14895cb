//! The commands of the binary: arguments in, text for people out.

pub mod ca;
