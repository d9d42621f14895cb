//! A private certificate authority, so that a network can start on day one (DESIGN §5).
//!
//! Two levels: a root that is needed once in five years and belongs offline, and an issuing CA for daily work. With
//! PKIoverheid certificates none of this is used.

use std::path::PathBuf;

pub mod authority;
mod files;
pub mod profile;

pub use authority::{Authority, Issued};
pub use profile::{Name, Profile};

/// Validity of the root, in days: ten years.
const ROOT_DAYS: i64 = 3653;
/// Validity of the issuing CA, in days: five years.
const ISSUING_DAYS: i64 = 1826;
/// Validity of a leaf where nothing else is asked, in days: as PKIoverheid's and the public web's.
pub const DEFAULT_DAYS: u16 = 397;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{}: exists already and is never overwritten; choose another name or directory", .0.display())]
    Exists(PathBuf),
    #[error("{}: can't be written ({kind}); check the directory and who owns it", path.display())]
    Unwritable { path: PathBuf, kind: std::io::ErrorKind },
    #[error("{}: can't be read ({kind}); is this the directory of `sluis ca init`?", path.display())]
    Unreadable { path: PathBuf, kind: std::io::ErrorKind },
    #[error("{}: is damaged, or not what its name says", .0.display())]
    Damaged(PathBuf),
    #[error("{}: others may read this private key; run `chmod 600` on it", .0.display())]
    OpenKey(PathBuf),
    #[error("{}: is not the private key of issuing.pem", .0.display())]
    KeyMismatch(PathBuf),
    #[error("{}: no signing request (PEM, signed with its own key, P-256, P-384 or Ed25519) that can be used", .0.display())]
    BadRequest(PathBuf),
    #[error("an OIN has 20 digits and starts with 000000")]
    BadOin,
    #[error("OINs that start with 00000099 are for tests; this CA was made for production")]
    TestOin,
    #[error("a name has 1 to 64 characters, none of them control characters")]
    BadName,
    #[error("a person is named by an opaque reference of 1 to 64 letters, digits, `.`, `_` or `-`")]
    BadPerson,
    #[error("--{0} is needed for this profile")]
    Missing(&'static str),
    #[error("--{0} has no place in this profile")]
    Superfluous(&'static str),
    #[error("an alternative name is a DNS name or an IP address")]
    BadAlternative,
    #[error("a certificate is valid for 1 to 1200 days")]
    BadDays,
    #[error("the issuing CA expires before that; ask for fewer days or make a new one")]
    OutlivesCa,
    #[error(
        "a file name has letters, digits, `.`, `_` and `-`, does not start with `.`, and is not one of the CA's own"
    )]
    BadFileName,
    #[error("the library can't make this certificate")]
    Library(#[from] rcgen::Error),
    #[error("the system gives no random numbers")]
    NoRandomness,
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
