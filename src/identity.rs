//! Who is on the other side of a connection: from a certificate to a caller (DESIGN §5).
//!
//! Two steps, both pure. [`certificate`] reads a leaf that TLS has already verified against an anchor, once per
//! connection. [`caller`] looks that certificate's key up in the registry, once per request, because a certificate
//! proves who somebody is and never what they may do, and because standing changes while a connection lives.

pub mod caller;
pub mod certificate;
pub mod signing_request;

pub use caller::{Caller, Function, Given, Holder, KeyState, Partner, PersonRef, Registration, Registrations, Via};
pub use certificate::{CertificateError, Fingerprint, KeyHash, PeerCertificate};
