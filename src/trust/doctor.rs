//! What an operator or partner needs to know of certificates before they are used: the order of a chain, what each field
//! means, and what would be said of it.

use time::{Duration, OffsetDateTime};

use super::contents::Contents;
use super::fault::Refused;
use super::{Set, Trust};
use crate::identity::certificate::is_test;
use crate::party::Oin;
use rustls_pki_types::CertificateDer;

/// Certificates in the order in which they are to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    /// The leaf, then its issuers: places in what was given.
    pub chain: Vec<usize>,
    /// What does not belong to it.
    pub extra: Vec<usize>,
    /// The issuer that would come next and is not there; `None` when the last one is a root.
    pub next: Option<String>,
}

/// Puts certificates in order: the first that is no authority's is the leaf.
pub fn order(given: &[Contents]) -> Order {
    let leaf = given.iter().position(|one| !one.is_authority).unwrap_or_default();
    let mut chain = Vec::new();
    let mut next = Some(leaf).filter(|_| !given.is_empty());
    while let Some((at, one)) = next.and_then(|at| Some((at, given.get(at)?))) {
        chain.push(at);
        let issuer = |(other, found): &(usize, &Contents)| one.is_issued_by(found) && !chain.contains(other);
        next = given.iter().enumerate().find(issuer).map(|(other, _)| other);
    }
    let last = chain.last().and_then(|at| given.get(*at));
    Order {
        extra: (0..given.len()).filter(|at| !chain.contains(at)).collect(),
        next: last.filter(|last| !last.is_root()).map(Contents::issuer_known_as),
        chain,
    }
}

/// A text in English and in Dutch.
pub type Both = (&'static str, &'static str);

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be, or only for information.
    Good,
    /// Works, and wants attention.
    Attention,
    /// Will be refused everywhere.
    Bad,
}

/// One field of a certificate.
#[derive(Debug)]
pub struct Field {
    /// A word for programs.
    pub code: &'static str,
    /// What people call it.
    pub name: Both,
    /// What stands in the certificate.
    pub value: String,
    /// Whether that is right.
    pub grade: Grade,
    /// Why not, and what to do.
    pub advice: Option<Both>,
}

const fn field(code: &'static str, name: Both, value: String) -> Field {
    Field { code, name, value, grade: Grade::Good, advice: None }
}

impl Field {
    const fn unless(mut self, is_good: bool, grade: Grade, advice: Both) -> Self {
        if !is_good {
            self.grade = grade;
            self.advice = Some(advice);
        }
        self
    }
}

/// The fields of a certificate that matter, at `now`.
pub fn fields(leaf: &Contents, now: OffsetDateTime) -> Vec<Field> {
    let mut all = vec![
        field("subject", ("holder", "houder"), leaf.subject.clone()).unless(
            !leaf.is_authority,
            Grade::Bad,
            (
                "This is an authority's certificate. The own certificate comes first.",
                "Dit is een certificaat van een uitgever. Het eigen certificaat komt eerst.",
            ),
        ),
        organisation(leaf),
        oin(leaf),
    ];
    all.extend(kvk(leaf));
    all.extend([
        field("issuer", ("issuer", "uitgever"), leaf.issuer.clone()),
        field("serial", ("serial number", "serienummer"), leaf.serial.clone()),
        validity(leaf, now),
        key(leaf),
        signature(leaf),
        usages(leaf),
        purposes(leaf),
        policies(leaf),
        names(leaf),
        lists(leaf),
        field("pin", ("key pin (SHA-256)", "sleutelpin (SHA-256)"), leaf.key_hash.to_string()),
    ]);
    all
}

fn organisation(leaf: &Contents) -> Field {
    let value = leaf.organisation.clone().unwrap_or_default();
    let is_there = !value.is_empty();
    field("organisation", ("organisation (O)", "organisatie (O)"), value).unless(
        is_there,
        Grade::Attention,
        (
            "No organisation in the subject. At PKIoverheid it is the name in the trade register, to the letter.",
            "Geen organisatie in het onderwerp. Bij PKIoverheid is dat de naam in het Handelsregister, letterlijk.",
        ),
    )
}

fn oin(leaf: &Contents) -> Field {
    let read = leaf.oin();
    let value = leaf.serial_numbers.join(", ");
    let advice = match leaf.serial_numbers.len() {
        0 => (
            "No OIN: order with the OIN in subject.serialNumber.",
            "Geen OIN: bestel met het OIN in subject.serialNumber.",
        ),
        1 => (
            "Not an OIN: 20 digits that start with 000000. A KvK number alone is too short: 00000003, the number, 0000.",
            "Geen OIN: 20 cijfers die met 000000 beginnen. Een KvK-nummer alleen is te kort: 00000003, het nummer, 0000.",
        ),
        _ => ("More than one serialNumber: order with one OIN.", "Meer dan één serialNumber: bestel met één OIN."),
    };
    let tested = read.as_ref().is_ok_and(is_test);
    field("oin", ("OIN (subject.serialNumber)", "OIN (subject.serialNumber)"), value)
        .unless(read.is_ok(), Grade::Bad, advice)
        .unless(
            !tested,
            Grade::Attention,
            ("A test OIN: refused in production.", "Een test-OIN: in productie geweigerd."),
        )
}

/// PKIoverheid G4 names the KvK number a second time; an OIN that is made of one must have the same.
fn kvk(leaf: &Contents) -> Option<Field> {
    let shown = leaf.organisation_identifier.as_deref()?;
    let of_oin = leaf.oin().ok().and_then(|oin| kvk_of(&oin));
    let agrees = of_oin.is_none_or(|number| shown.strip_prefix("NTRNL-") == Some(number.as_str()));
    let name = ("organizationIdentifier", "organizationIdentifier");
    Some(field("organisation_identifier", name, shown.to_owned()).unless(
        agrees,
        Grade::Attention,
        (
            "Another KvK number than the OIN is made of: check the order.",
            "Een ander KvK-nummer dan waaruit het OIN bestaat: controleer de bestelling.",
        ),
    ))
}

fn kvk_of(oin: &Oin) -> Option<String> {
    oin.as_str().strip_prefix("00000003").and_then(|rest| rest.get(..8)).map(ToOwned::to_owned)
}

fn validity(leaf: &Contents, now: OffsetDateTime) -> Field {
    let (from, until) = (leaf.not_before.date(), leaf.not_after.date());
    let left = leaf.days_left(now);
    let value = format!("{from} – {until}, {left} d");
    let soon = leaf.not_after - now < Duration::days(90);
    field("validity", ("validity", "geldigheid"), value)
        .unless(
            !soon,
            Grade::Attention,
            (
                "Ends within 90 days: order the next one now, with a new key pair. Both may be registered beside each other.",
                "Loopt binnen 90 dagen af: bestel nu het volgende, met een nieuw sleutelpaar. Beide mogen naast elkaar geregistreerd zijn.",
            ),
        )
        .unless(now <= leaf.not_after, Grade::Bad, ("Expired.", "Verlopen."))
        .unless(
            leaf.not_before <= now,
            Grade::Bad,
            ("Not valid yet: wait, or check the clock.", "Nog niet geldig: wacht, of controleer de klok."),
        )
}

fn key(leaf: &Contents) -> Field {
    use super::contents::Key;
    let usable = match &leaf.key {
        Key::Rsa(bits) => *bits >= 2048,
        Key::Ec(curve) => *curve != "P-521",
        Key::Ed25519 => true,
        Key::Other(_) => false,
    };
    field("key", ("public key", "publieke sleutel"), leaf.key.to_string()).unless(
        usable,
        Grade::Bad,
        (
            "Not accepted anywhere here: RSA of 2048 bits at least (3072 for G4), P-256, P-384 or Ed25519.",
            "Wordt hier nergens geaccepteerd: RSA van minstens 2048 bits (3072 voor G4), P-256, P-384 of Ed25519.",
        ),
    )
}

fn signature(leaf: &Contents) -> Field {
    let value = leaf.signature.to_string();
    let known = super::profile::Algorithm::is_known(&value);
    field("signature", ("signed with", "ondertekend met"), value).unless(
        known,
        Grade::Bad,
        (
            "Not accepted anywhere here, as SHA-1: order a new certificate.",
            "Wordt hier nergens geaccepteerd, zoals SHA-1: bestel een nieuw certificaat.",
        ),
    )
}

fn usages(leaf: &Contents) -> Field {
    let signs = leaf.usages.as_ref().is_none_or(|usages| usages.contains(&"digitalSignature"));
    let value = leaf.usages.as_ref().map(|usages| usages.join(", ")).unwrap_or_default();
    field("key_usage", ("key usage", "sleutelgebruik"), value).unless(
        signs,
        Grade::Bad,
        (
            "Without digitalSignature it can't be used for TLS 1.3.",
            "Zonder digitalSignature is het niet bruikbaar voor TLS 1.3.",
        ),
    )
}

fn purposes(leaf: &Contents) -> Field {
    let value = leaf.purposes.as_ref().map(|purposes| purposes.join(", ")).unwrap_or_default();
    let advice = if leaf.purposes.is_none() {
        ("None: accepted under PKIoverheid G1 only.", "Geen: alleen onder PKIoverheid G1 geaccepteerd.")
    } else {
        ("Without clientAuth a partner can't call with it.", "Zonder clientAuth kan een partner er niet mee aanroepen.")
    };
    field("extended_key_usage", ("extended key usage", "extended key usage"), value).unless(
        leaf.client_auth,
        Grade::Attention,
        advice,
    )
}

fn policies(leaf: &Contents) -> Field {
    let value = leaf.policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    field("policies", ("certificate policies", "certificate policies"), value)
}

fn names(leaf: &Contents) -> Field {
    let addresses = leaf.addresses.iter().map(ToString::to_string);
    let value = leaf.dns.iter().cloned().chain(addresses).collect::<Vec<_>>().join(", ");
    field("names", ("alternative names", "alternatieve namen"), value)
}

fn lists(leaf: &Contents) -> Field {
    field("crl", ("revocation list at", "intrekkingslijst op"), leaf.list_urls.join(", "))
}

/// What every set says of a chain, leaf first.
pub fn verdicts<'t>(
    trust: &'t Trust,
    chain: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Vec<(&'t Set, Result<(), Refused>)> {
    trust.sets().iter().map(|set| (set, trust.judge_by(set, chain, now).map(drop))).collect()
}
