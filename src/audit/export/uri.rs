//! What is named in exports, as URIs. They identify and are not looked up: the covenant's text is `Covenants/GetCovenant`.

use super::Line;
use super::line::bare;

/// An organisation, by partners/{oin}.
pub(super) fn partner(name: &str) -> String {
    format!("urn:sluis:partner:{}", bare(name))
}

/// An organisation by its number, partner or not.
pub(super) fn oin(oin: &str) -> String {
    format!("urn:sluis:oin:{oin}")
}

/// A clause in the version of the covenant that was asked.
pub(super) fn clause(line: &Line, clause: &str) -> String {
    format!("urn:sluis:covenant:{}:clause:{clause}", line.covenant_version)
}

/// The processing activity: the article in its version; of a call that rests on none, its method.
pub(super) fn activity(line: &Line) -> String {
    if line.article.is_empty() {
        format!("urn:sluis:method:{}", line.method)
    } else {
        format!("urn:sluis:covenant:{}:article:{}", line.covenant_version, line.article)
    }
}

/// The key of a certificate.
pub(super) fn key(hash: &str) -> String {
    format!("urn:sluis:key:sha256:{hash}")
}
