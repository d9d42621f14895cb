//! What goes wrong at a certificate authority, each with what to do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::identity::certificate::KeyHash;

/// Why there is no next certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    #[error("the request is not signed with its own key")]
    Request,
    #[error("the request is not signed with the key of the current certificate: its holder has not asked")]
    Proof,
    #[error("the request is for a key of another kind than P-256, P-384 or Ed25519")]
    Kind,
    #[error("there is a certificate for this key already, and not the one that is asked for: ask with another key")]
    OtherKey,
    #[error("a certificate like the current one can't be made here any more; a new one takes a proposal")]
    Unlike,
    #[error("the authority ends; its operators make the next one")]
    Ending,
    #[error("the current certificate is not one that this authority made and wrote down")]
    NotOurs,
    #[error("the current certificate was taken back")]
    Revoked,
    #[error("the current certificate has ended; a new one takes a proposal")]
    Expired,
}

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{}: exists already and is never overwritten; choose another name or directory", .0.display())]
    Exists(PathBuf),
    #[error("{}: can't be written ({kind}); nothing was changed; check the disk, the directory and who owns it", path.display())]
    Unwritable { path: PathBuf, kind: ErrorKind },
    #[error("{}: can't be read ({kind}); check the path, and who owns it", path.display())]
    Unreadable { path: PathBuf, kind: ErrorKind },
    #[error(
        "{}: there is no {stem}.pem in it; name the directory of an authority: a root is made by `sluis ca root`, one that issues \
         by `sluis ca issuing`, both by `sluis ca init`", folder.display()
    )]
    NoAuthority { folder: PathBuf, stem: &'static str },
    #[error("{}: is damaged, or not what its name says; take the copy from the safe", .0.display())]
    Damaged(PathBuf),
    #[error("{path}: others may read this file; run `chmod 600 {path}`", path = .0.display())]
    OpenKey(PathBuf),
    #[error("{}: no private key in it; the one of a NAME.pub is in the NAME.key that was written with it", .0.display())]
    NoPrivateKey(PathBuf),
    #[error("{}: is not the private key of the certificate beside it; take the copy from the safe", .0.display())]
    KeyMismatch(PathBuf),
    #[error("{}: no signing request (PEM, signed with its own key, P-256, P-384 or Ed25519) that can be used", .0.display())]
    BadRequest(PathBuf),
    #[error("{}: no public key in it; expected PEM of a certificate, a signing request or a public key (P-256, P-384 or Ed25519)", .0.display())]
    NoPublicKey(PathBuf),
    #[error("{}: no certificate of this authority; take the file that `sluis ca issue` or `sluis ca sign` wrote", .0.display())]
    NotOurs(PathBuf),
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
    #[error("a profile is one of organisation, server, person, local")]
    BadProfile,
    #[error("an alternative name is a DNS name or an IP address")]
    BadAlternative,
    #[error("a certificate is valid for 1 to 1200 days")]
    BadDays,
    #[error("a list counts for 1 to {0} days")]
    BadListDays(u16),
    #[error("the issuing CA expires before that; ask for fewer days or make a new one")]
    OutlivesCa,
    #[error(
        "a file name has letters, digits, `.`, `_` and `-`, does not start with `.`, and is not one of the CA's own"
    )]
    BadFileName,
    #[error("a revocation list is published at a URL that begins with http:// and has no spaces")]
    BadUrl,
    #[error("what is to be signed can't be written as text; is there a path in it that is none?")]
    NoText,
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    #[error("{}: an authority of another network or environment", .0.display())]
    OtherNetwork(PathBuf),
    #[error("the library can't make this certificate")]
    Library(#[from] rcgen::Error),
    #[error("the system gives no random numbers")]
    NoRandomness,
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Eyes(#[from] EyesError),
}

/// What is wrong with a passphrase, or with what it opens.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("there is no terminal to ask for the {0}; name a file that only you may read with --{1}")]
    NoTerminal(&'static str, &'static str),
    #[error("the {0} was not typed the same way twice; try again")]
    Differs(&'static str),
    #[error("{}: holds no passphrase; write it on the first line", .0.display())]
    Empty(PathBuf),
    #[error("a passphrase has at least 12 characters; take four words or more")]
    Short,
    #[error("{}: the passphrase does not open this key; if it is certainly the right one, the file is damaged: take the copy from the safe", .0.display())]
    Wrong(PathBuf),
    #[error("{}: is encrypted in another way than PBES2 with scrypt or PBKDF2 and AES; convert it with `openssl pkcs8 -topk8 -scrypt`", .0.display())]
    Unsupported(PathBuf),
    #[error("{}: is protected already", .0.display())]
    AlreadyLocked(PathBuf),
    #[error("--insecure-plain-key is for tests: a key of production is in a file with a passphrase or in a token")]
    PlainInProduction,
}

/// What is wrong with a PKCS#11 token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{}: can't be loaded as a PKCS#11 module; is its package installed, and for this machine?", .0.display())]
    Module(PathBuf),
    #[error("no token is called `{0}`; insert it, or look its label up with `pkcs11-tool --list-token-slots`")]
    Absent(String),
    #[error("the PIN is wrong; several wrong ones lock the token `{0}`")]
    WrongPin(String),
    #[error("the PIN is wrong, and one more wrong one locks the token `{0}`")]
    LastTry(String),
    #[error("the token `{0}` is locked after too many wrong PINs; its security officer unlocks it with the SO PIN")]
    Locked(String),
    #[error(
        "the token `{token}` has no key pair `{label}`, or more than one; look at them with `pkcs11-tool --list-objects --login`"
    )]
    NoKey { token: String, label: String },
    #[error("the key `{0}` in the token is of another kind; the authority signs with ECDSA on P-256 or P-384")]
    Kind(String),
    #[error("the key `{0}` in the token belongs to another authority; choose another label")]
    Taken(String),
    #[error("the token `{token}` does not do this: {what}")]
    Refuses { token: String, what: String },
}

/// What is wrong with the authority's own registers.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{}: line {line} does not follow from the line before: the register was changed; take it from the last backup and compare", path.display())]
    Broken { path: PathBuf, line: usize },
    #[error("{}: the last line is not complete: writing was cut off, and nothing was signed for it; remove that line", .0.display())]
    Torn(PathBuf),
    #[error("no certificate with the serial number {0} is in the register; `sluis ca list` shows them")]
    UnknownSerial(String),
    #[error("a serial number is hexadecimal, 1 to 20 bytes, as `sluis ca list` prints it")]
    BadSerial,
    #[error("{serial} was revoked already, on {at}; publish the list with `sluis ca crl`")]
    RevokedTwice { serial: String, at: String },
    #[error("a reason is one of {0}")]
    BadReason(String),
}

/// What is wrong with a signature that needs two people.
#[derive(Debug, thiserror::Error)]
pub enum EyesError {
    #[error(
        "this authority signs with four eyes: `sluis ca request`, another person `sluis ca approve`, then `sluis ca sign`"
    )]
    Needed,
    #[error("this authority has no operators: one person signs, with `sluis ca issue`")]
    NotNeeded,
    #[error("production needs four eyes, and four eyes are two operators or more: name them with --operator NAME=FILE")]
    TooFew,
    #[error("name two operators or more with --operator NAME=FILE, or say --without-four-eyes (for tests)")]
    TooFewForTest,
    #[error("--operator is NAME=FILE: a reference, and the file with that person's certificate, request or public key")]
    BadOperator,
    #[error("two operators have the same name or the same key: each person has an own one")]
    SameOperator,
    #[error(
        "this authority serves one organisation's own systems: it issues the profiles local and server, without an OIN"
    )]
    OwnSystems,
    #[error("{}: is damaged, or was changed by somebody else than this authority; take it from the backup", .0.display())]
    Settings(PathBuf),
    #[error("{}: no proposal of `sluis ca request` or `sluis ca operators`", .0.display())]
    NotAProposal(PathBuf),
    #[error("{}: is the key of nobody who may propose or approve here (key hash {hash})", path.display())]
    Stranger { path: PathBuf, hash: KeyHash },
    #[error("{0} proposed this and can't approve it too: another operator does")]
    SamePerson(String),
    #[error("the proposal was changed after {0} signed it: make a new one")]
    Changed(String),
    #[error("{0} is no operator here: `sluis ca operators` shows who is")]
    NoOperator(String),
    #[error("{0} would get the key of another operator: each person has an own one")]
    KeyOfAnother(String),
    #[error("two operators or more have to stay: name who comes with --add NAME=FILE")]
    TooFewStay,
    #[error(
        "nothing would change: name who comes with --add NAME=FILE, with an own key, and who goes with --remove NAME"
    )]
    NothingChanges,
    #[error("this authority has operators, and two of them say who else becomes one: `sluis ca operators`")]
    ByTwo,
    #[error("the operators have changed since this was proposed: propose it anew")]
    Overtaken,
    #[error("nobody has approved this yet: another operator runs `sluis ca approve`")]
    NotApproved,
    #[error("this is approved already; the authority runs `sluis ca sign`")]
    AlreadyApproved,
    #[error("the proposal ended on {0}: make a new one")]
    Expired(String),
    #[error("the proposal is dated {0}, which is still to come: check the clocks of both machines")]
    FromTheFuture(String),
    #[error("the proposal is for another authority than this one")]
    OtherAuthority,
    #[error(
        "the signing request in the proposal is for another key than the one that is proposed: make a new proposal"
    )]
    OtherKey,
    #[error("this proposal was signed before: certificate {0}")]
    SignedBefore(String),
}
