//! Values and sections that several configuration files share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::load::PathKey;
use crate::identity::certificate::{Environment, PolicyOid};
use crate::redact::Redacted;
use crate::tlog::{Kind, Origin, PublicKey};

/// Section `[listen]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Where to listen.
    pub address: Address,
}

/// Section `[tls]`: what this process shows of itself and whom it trusts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the own certificate, then the certificates between it and the anchor.
    pub certificate: PathBuf,
    /// PEM: the private key of the certificate, PKCS#8.
    pub key: PathBuf,
    /// PEM: the roots of the network's own CA. With other sets of anchors, `[[trust.sets]]` names all of them instead.
    #[serde(default)]
    pub anchors: Option<PathBuf>,
}

impl TlsConfig {
    pub(crate) fn paths(&mut self) -> Vec<PathKey<'_>> {
        const FIX: Option<&str> = Some("make it with `sluis ca issue` or correct the path");
        let mut paths = vec![
            PathKey { key: "tls.certificate", path: &mut self.certificate, must_exist: FIX },
            PathKey { key: "tls.key", path: &mut self.key, must_exist: FIX },
        ];
        paths.extend(self.anchors.as_mut().map(|path| PathKey { key: "tls.anchors", path, must_exist: FIX }));
        paths
    }
}

/// Section `[trust]`: whose certificates are believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// Test or production: OINs, anchors and profiles of the other are refused.
    pub environment: Environment,
    /// Sets of anchors, asked in this order; none: the network's own CA, by `tls.anchors`.
    pub sets: Vec<SetConfig>,
}

/// One of `[[trust.sets]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// What operators call it, in logs and commands.
    pub name: String,
    /// Rules that are built in: `sluis-ca`, `pkioverheid-g1`, `pkioverheid-g4-tls`, `pkioverheid-g4-other`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Or a file with rules of the same form.
    #[serde(default)]
    pub profile_file: Option<PathBuf>,
    /// PEM: its roots.
    pub anchors: PathBuf,
    /// Certificate policies of which one must be shown (object identifiers), in place of the profile's.
    #[serde(default)]
    pub policies: BTreeSet<PolicyOid>,
    /// CRL files (PEM or DER), one per issuer.
    #[serde(default)]
    pub crls: Vec<PathBuf>,
    /// Where issuers publish their CRLs (`http://`): fetched at the start, and at least every hour and a quarter.
    #[serde(default)]
    pub crl_urls: Vec<String>,
    /// Directory for what was fetched, the last good one of each; made if it does not exist.
    #[serde(default)]
    pub crl_directory: Option<PathBuf>,
    /// PEM: certificates of the issuers below the roots, by which fetched CRLs are verified before they take the place of
    /// the last good one. A CRL of an issuer that is not here is verified when a certificate is judged by it.
    #[serde(default)]
    pub issuers: Option<PathBuf>,
}

impl TrustConfig {
    pub(crate) fn paths(&mut self) -> Vec<PathKey<'_>> {
        self.sets.iter_mut().flat_map(SetConfig::paths).collect()
    }
}

impl SetConfig {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        const ANCHORS: Option<&str> = Some("fetch it from the authority, or correct the path");
        const LIST: Option<&str> = Some("fetch it from the issuer, or leave the key out");
        let Self { profile_file, anchors, crls, crl_directory, issuers, .. } = self;
        let directory = crl_directory.as_mut().map(|path| ("trust.sets.crl_directory", path, None));
        let issuers = issuers.as_mut().map(|path| ("trust.sets.issuers", path, ANCHORS));
        let profile = profile_file.as_mut().map(|path| ("trust.sets.profile_file", path, ANCHORS));
        let lists = crls.iter_mut().map(|path| ("trust.sets.crls", path, LIST));
        let all = profile
            .into_iter()
            .chain([("trust.sets.anchors", anchors, ANCHORS)])
            .chain(lists)
            .chain(directory)
            .chain(issuers);
        all.map(|(key, path, must_exist)| PathKey { key, path, must_exist }).collect()
    }
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self { environment: Environment::Production, sets: Vec::new() }
    }
}

/// Section `[covenant]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CovenantConfig {
    /// Directory of the covenant; absent: the one that is built in.
    pub directory: Option<PathBuf>,
}

impl CovenantConfig {
    pub(super) fn paths(&mut self) -> Vec<PathKey<'_>> {
        const FIX: Option<&str> = Some("correct the path, or leave the key out to use the covenant that is built in");
        let directory = self.directory.as_mut();
        directory.map(|path| PathKey { key: "covenant.directory", path, must_exist: FIX }).into_iter().collect()
    }
}

/// An IP address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(pub SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is not an IP address with a port; write it as \"127.0.0.1:4400\" or \"[::1]:4400\"")
        })
    }
}

/// A host name that a server certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerName(rustls_pki_types::ServerName<'static>);

impl ServerName {
    /// The name, for the TLS client.
    pub fn get(&self) -> rustls_pki_types::ServerName<'static> {
        self.0.clone()
    }
}

impl TryFrom<String> for ServerName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        rustls_pki_types::ServerName::try_from(text.clone())
            .map(Self)
            .map_err(|_| format!("`{text}` is not a host name; write the name in the server's certificate"))
    }
}

/// Where the database is. May hold a password, so it does not print.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct StoreUrl(Redacted<String>);

impl StoreUrl {
    /// The URL as sqlx wants it.
    pub fn as_str(&self) -> &str {
        self.0.reveal()
    }

    /// The database file, for SQLite.
    pub(super) fn sqlite_path(&self) -> Option<&str> {
        self.as_str().strip_prefix("sqlite:").map(|path| path.trim_start_matches("//"))
    }

    pub(super) fn set_sqlite_path(&mut self, path: &std::path::Path) {
        self.0 = Redacted::new(format!("sqlite:{}", path.display()));
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()) {
            Ok(Self(Redacted::new(text)))
        } else {
            Err("the value is not a database that this version knows; write \"sqlite:hub.db\"")
        }
    }
}

/// A database that several hubs may share, or a file of one hub's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseUrl {
    /// `sqlite:PATH`
    Sqlite(StoreUrl),
    /// `postgres://ROLE@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=PATH`
    Postgres(PostgresUrl),
}

impl DatabaseUrl {
    /// The URL as sqlx wants it, without a password.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sqlite(url) => url.as_str(),
            Self::Postgres(url) => url.as_str(),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.starts_with("postgres") {
            return text.try_into().map(Self::Postgres);
        }
        let other = "the value is no database that this version knows; write \"sqlite:hub.db\", or \"postgres://…\" as in \
                     docs/postgresql.md";
        text.try_into().map(Self::Sqlite).map_err(|_: &str| other)
    }
}

/// A PostgreSQL server, reached over TLS with its certificate checked, or over a socket of this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// The URL as sqlx wants it, without a password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PostgresUrl {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let Some(rest) = rest else { return Err("the value is not a URL that begins with \"postgres://\"") };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (role, host) = place.rsplit_once('@').unwrap_or(("", place));
        if role.contains(':') || query.split('&').any(|pair| pair.starts_with("password=")) {
            return Err("the URL holds a password; write it in a file of its own and name that in password_file");
        }
        if role.is_empty() {
            return Err("the URL names no role; write \"postgres://sluis_hub@…\"");
        }
        let has = |pair: &str| query.split('&').any(|other| other == pair);
        let is_socket = host.starts_with("%2F") || query.split('&').any(|pair| pair.starts_with("host=/"));
        if is_socket || has("sslmode=verify-full") {
            Ok(Self(text))
        } else {
            Err("the connection would not check who answers; add \"?sslmode=verify-full&sslrootcert=/path/ca.pem\"")
        }
    }
}

/// 32 bytes as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex32(pub [u8; 32]);

impl TryFrom<String> for Hex32 {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse_hex(&text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not 64 hexadecimal digits; copy the whole line that `init` printed"))
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// Name of a log or a witness in signed notes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NoteName(pub Origin);

impl TryFrom<String> for NoteName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| format!("`{text}`: {error}"))
    }
}

/// Public key of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogKey(pub PublicKey);

impl TryFrom<String> for LogKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let key: PublicKey =
            text.parse().map_err(|error| format!("`{text}`: {error}; the hub writes it in its first log line"))?;
        if key.kind() == Kind::Log { Ok(Self(key)) } else { Err(format!("`{text}`: a witness's key, not a log's")) }
    }
}
