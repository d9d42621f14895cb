//! Whom a checkpoint must be signed by to be believed: a log, and a quorum of witnesses (C2SP tlog-policy).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Hash;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Kind, PublicKey};
use super::proof::{Proof, ProofError};

/// Most logs, witnesses and groups in a policy.
const MOST: usize = 256;

/// Most witnesses: a note has at most 100 signatures, one of them the log's.
const SIGNERS: usize = 99;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PublicKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its key.
    pub key: PublicKey,
    /// Where checkpoints are handed in (C2SP tlog-witness, submission prefix), if it can be reached.
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    least: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A file that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotAPolicy {
    /// From 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong there.
    pub why: &'static str,
}

impl fmt::Display for NotAPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    /// It is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Too few witnesses.
    #[error("signed by the log, and by too few witnesses")]
    Quorum,
}

/// Why a proof is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// It proves nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What it leads to is not believed.
    #[error(transparent)]
    Checkpoint(#[from] Disbelief),
}

impl Policy {
    /// One log, and nobody else.
    pub fn of_log(log: PublicKey) -> Self {
        Self { logs: vec![log], witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// [`NotAPolicy`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAPolicy> {
        let mut reading = Reading::default();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            reading.line(line).map_err(|why| NotAPolicy { line: number + 1, why })?;
        }
        reading.done().map_err(|why| NotAPolicy { line: 0, why })
    }

    /// For this log alone. `None`: it names logs, and not this one.
    pub fn with_log(mut self, log: PublicKey) -> Option<Self> {
        if !self.logs.is_empty() && !self.logs.contains(&log) {
            return None;
        }
        self.logs = vec![log];
        Some(self)
    }

    /// The keys of its logs.
    pub fn logs(&self) -> &[PublicKey] {
        &self.logs
    }

    /// Its witnesses.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether anybody but the log has to sign.
    pub const fn asks_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// The witnesses whose valid signatures are under a checkpoint.
    pub fn cosigned(&self, checkpoint: &Checkpoint) -> Vec<&PublicKey> {
        self.witnesses.iter().map(|witness| &witness.key).filter(|key| checkpoint.signature(key).is_some()).collect()
    }

    /// Whether enough witnesses have signed.
    pub fn is_met(&self, checkpoint: &Checkpoint) -> bool {
        let signed = self.cosigned(checkpoint);
        self.quorum.is_none_or(|quorum| self.holds(quorum, &signed))
    }

    fn holds(&self, member: Member, signed: &[&PublicKey]) -> bool {
        match member {
            Member::Witness(at) => self.witnesses.get(at).is_some_and(|witness| signed.contains(&&witness.key)),
            Member::Group(at) => self.groups.get(at).is_some_and(|group| {
                group.members.iter().filter(|member| self.holds(**member, signed)).count() >= group.least
            }),
        }
    }

    /// Reads a checkpoint and believes it if one of the logs and enough witnesses have signed it.
    ///
    /// # Errors
    /// [`Disbelief`].
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, Disbelief> {
        let checkpoint = self.of_a_log(|log| Checkpoint::open(note, log))?;
        self.believe(checkpoint)
    }

    /// Believes what a proof says of an entry, under the same conditions.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn verify(&self, proof: &Proof, entry: Hash) -> Result<Checkpoint, NotProven> {
        let of_log = |log: &PublicKey| match proof.verify(entry, log) {
            Ok(checkpoint) => Ok(Ok(checkpoint)),
            Err(ProofError::Checkpoint(error)) => Err(error),
            Err(error) => Ok(Err(error)),
        };
        let checkpoint = self.of_a_log(of_log).map_err(ProofError::Checkpoint)??;
        Ok(self.believe(checkpoint)?)
    }

    /// Believes a checkpoint of which the log's signature was verified.
    ///
    /// # Errors
    /// [`Disbelief::Quorum`].
    pub fn believe(&self, checkpoint: Checkpoint) -> Result<Checkpoint, Disbelief> {
        if self.is_met(&checkpoint) { Ok(checkpoint) } else { Err(Disbelief::Quorum) }
    }

    /// The first log that has it, or what the last one said.
    fn of_a_log<T>(&self, has: impl Fn(&PublicKey) -> Result<T, CheckpointError>) -> Result<T, CheckpointError> {
        let mut found = Err(CheckpointError::Origin);
        for log in &self.logs {
            match has(log) {
                Ok(had) => return Ok(had),
                // That a log of this name did not sign it says more than that it is of another.
                Err(CheckpointError::Origin) => {}
                Err(error) => found = Err(error),
            }
        }
        found
    }
}

/// A policy as far as it is read.
#[derive(Default)]
struct Reading {
    logs: Vec<PublicKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    names: BTreeMap<Vec<u8>, Member>,
    /// Who is in a group already.
    grouped: BTreeSet<Member>,
    quorum: Option<Option<Member>>,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err("a control character");
        }
        let words: Vec<&[u8]> = line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => self.log(key),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, least, members @ ..] => self.group(name, least, members),
            [b"quorum", name] => self.end_with(name),
            _ => Err("not a log, a witness, a group or the quorum"),
        }
    }

    fn log(&mut self, key: &[u8]) -> Result<(), &'static str> {
        let key = public(key, Kind::Log).ok_or("not a log's public key: <name>+<id>+<base64>")?;
        if self.logs.iter().any(|known| known.is_same_key(&key)) {
            return Err("this log stands there twice");
        }
        self.logs.push(key);
        few(self.logs.len())
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&[u8]>) -> Result<(), &'static str> {
        let key = public(key, Kind::Witness).ok_or("not a witness's public key: <name>+<id>+<base64>")?;
        if self.witnesses.iter().any(|known| known.key.is_same_key(&key)) {
            return Err("this witness stands there twice");
        }
        let url = url.map(|url| String::from_utf8(url.to_vec())).transpose().map_err(|_| "not a URL")?;
        self.name(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { key, url });
        if self.witnesses.len() <= SIGNERS { Ok(()) } else { Err("more than 99 witnesses") }
    }

    fn group(&mut self, name: &[u8], least: &[u8], members: &[&[u8]]) -> Result<(), &'static str> {
        let members: Vec<Member> = members.iter().map(|member| self.known(member)).collect::<Result<_, _>>()?;
        let least = match least {
            b"any" => 1,
            b"all" => members.len(),
            number => decimal(number).ok_or("all, any or a number")?,
        };
        if !(1..=members.len()).contains(&least) {
            return Err("a group of no members, or of fewer than must sign");
        }
        for member in &members {
            if !self.grouped.insert(*member) {
                return Err("a member of two groups, or twice of one");
            }
        }
        self.name(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { least, members });
        few(self.groups.len())
    }

    fn end_with(&mut self, name: &[u8]) -> Result<(), &'static str> {
        let quorum = if name == b"none" { None } else { Some(self.known(name)?) };
        if self.quorum.replace(quorum).is_some() {
            return Err("a second quorum");
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8], member: Member) -> Result<(), &'static str> {
        if name == b"none" || self.names.insert(name.to_vec(), member).is_some() {
            return Err("a name that is taken");
        }
        Ok(())
    }

    fn known(&self, name: &[u8]) -> Result<Member, &'static str> {
        self.names.get(name).copied().ok_or("a name that no earlier line gives")
    }

    fn done(self) -> Result<Policy, &'static str> {
        let quorum = self.quorum.ok_or("no line says the quorum")?;
        Ok(Policy { logs: self.logs, witnesses: self.witnesses, groups: self.groups, quorum })
    }
}

fn public(key: &[u8], kind: Kind) -> Option<PublicKey> {
    let key: PublicKey = std::str::from_utf8(key).ok()?.parse().ok()?;
    (key.kind() == kind).then_some(key)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let plain = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

const fn few(count: usize) -> Result<(), &'static str> {
    if count <= MOST { Ok(()) } else { Err("more than 256 of a kind") }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::Tree;
    use super::super::cosign::{cosign, cosignature};
    use super::super::note::PrivateKey;
    use super::*;

    fn witness(seed: u8) -> PrivateKey {
        PrivateKey::from_seed(format!("w{seed}.example").parse().unwrap(), Kind::Witness, &[seed; 32]).unwrap()
    }

    fn log() -> PrivateKey {
        PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[99; 32]).unwrap()
    }

    fn signed_by(seeds: &[u8]) -> Checkpoint {
        let checkpoint = Checkpoint::sign(&log(), Tree { size: 1, root: crate::tlog::record_hash(b"a") }).unwrap();
        let lines: Vec<u8> = seeds.iter().flat_map(|seed| cosign(&witness(*seed), &checkpoint, 7).unwrap()).collect();
        let all: Vec<_> =
            seeds.iter().map(|seed| cosignature(&lines, &checkpoint, witness(*seed).public()).unwrap()).collect();
        checkpoint.with(&all).unwrap()
    }

    fn policy(rest: &str) -> Result<Policy, NotAPolicy> {
        let mut text = format!("# who signs\n\n log\t{} https://hub.example \n", log().public());
        for seed in 1..=6 {
            text.push_str(&format!("witness w{seed} {} https://w{seed}.example/\n", witness(seed).public()));
        }
        Policy::from_bytes((text + rest).as_bytes())
    }

    #[test]
    fn a_quorum_is_what_the_groups_say() {
        let two = policy("group x 2 w1 w2 w3\ngroup y any w4 w5 w6\ngroup all all x y\nquorum all\n").unwrap();
        let table = [
            ("quorum none", &[][..], true),
            ("quorum w1", &[1], true),
            ("quorum w1", &[2], false),
            ("group x any w1 w2\nquorum x", &[2], true),
            ("group x all w1 w2\nquorum x", &[2], false),
            ("group x all w1 w2\nquorum x", &[1, 2], true),
        ];
        for (rest, signed, met) in table {
            assert_eq!(policy(rest).unwrap().is_met(&signed_by(signed)), met, "{rest}: {signed:?}");
        }
        for (signed, met) in [(&[1, 2, 4][..], true), (&[1, 2], false), (&[1, 4, 5, 6], false), (&[1, 2, 3, 6], true)] {
            assert_eq!(two.is_met(&signed_by(signed)), met, "{signed:?}");
            assert_eq!(two.open(&signed_by(signed).to_bytes()).is_ok(), met);
        }
        assert_eq!(two.open(&signed_by(&[1]).to_bytes()).unwrap_err(), Disbelief::Quorum);
        assert_eq!(two.witnesses()[0].url.as_deref(), Some("https://w1.example/"));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_not_believed_however_many_sign() {
        let other = PrivateKey::of_log("sluis.example/log".parse().unwrap(), &[98; 32]).unwrap();
        let forged = Checkpoint::sign(&other, *signed_by(&[]).tree()).unwrap();
        let line = cosign(&witness(1), &forged, 7).unwrap();
        let forged = forged.with(&[cosignature(&line, &forged, witness(1).public()).unwrap()]).unwrap();
        let error = policy("quorum w1").unwrap().open(&forged.to_bytes()).unwrap_err();
        assert_eq!(error, Disbelief::Checkpoint(CheckpointError::Signature));
        assert!(Policy::of_log(other.public().clone()).open(&forged.to_bytes()).is_ok());
        assert_eq!(
            Policy::from_bytes(b"quorum none").unwrap().open(&forged.to_bytes()).unwrap_err(),
            Disbelief::Checkpoint(CheckpointError::Origin),
            "no log at all"
        );
    }

    #[test]
    fn what_is_no_policy_is_told_by_line() {
        let key = witness(1).public().to_string();
        let again = format!("witness again {key}\nquorum none");
        let table = [
            ("", 0, "no line says the quorum"),
            ("quorum none\nquorum none", 11, "a second quorum"),
            ("quorum w9", 10, "a name that no earlier line gives"),
            ("group x 0 w1\nquorum x", 10, "all, any or a number"),
            ("group x 3 w1 w2\nquorum x", 10, "a group of no members, or of fewer than must sign"),
            ("group x any\nquorum x", 10, "a group of no members, or of fewer than must sign"),
            ("group x 01 w1\nquorum x", 10, "all, any or a number"),
            ("group x any w1 w1\nquorum x", 10, "a member of two groups, or twice of one"),
            ("group x any w1\ngroup y any w1\nquorum y", 11, "a member of two groups, or twice of one"),
            ("group x any y\ngroup y any w1\nquorum x", 10, "a name that no earlier line gives"),
            ("group w1 any w2\nquorum w1", 10, "a name that is taken"),
            ("group none any w2\nquorum none", 10, "a name that is taken"),
            ("group x any none\nquorum x", 10, "a name that no earlier line gives"),
            (&again, 10, "this witness stands there twice"),
            ("log x\nquorum none", 10, "not a log's public key: <name>+<id>+<base64>"),
            ("quorum none extra", 10, "not a log, a witness, a group or the quorum"),
            ("quorum\u{b}none", 10, "a control character"),
        ];
        for (rest, line, why) in table {
            assert_eq!(policy(rest).unwrap_err(), NotAPolicy { line, why }, "{rest}");
        }
        let swapped = format!("log {key}\nquorum none");
        assert!(Policy::from_bytes(swapped.as_bytes()).is_err(), "a witness's key is no log's");
        assert!(policy("quorum none\r\n").is_err(), "lines end as the format says");
    }
}
