//! Why a certificate is not believed: a closed list, each with what to do about it.

use std::fmt;

use crate::reason::Reason;

macro_rules! faults {
    ($($variant:ident = $code:literal, $reason:ident, $en:literal, $nl:literal;)+) => {
        /// Why a certificate is not believed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the sentences stand in the list")]
        pub enum Fault { $($variant),+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in logs, metrics and JSON.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The reason code of the refusal (REFERENCE §5.5).
            pub const fn reason(self) -> Reason {
                match self { $(Self::$variant => Reason::$reason),+ }
            }

            /// What is wrong and what to do, in English.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$variant => $en),+ }
            }

            /// The same in Dutch.
            pub const fn dutch(self) -> &'static str {
                match self { $(Self::$variant => $nl),+ }
            }
        }
    };
}

faults! {
    NoCertificate = "no_certificate", CertUntrusted,
        "No certificate was shown. Configure the client certificate and its private key.",
        "Er is geen certificaat getoond. Stel het clientcertificaat en de private sleutel in.";
    Malformed = "malformed", CertUntrusted,
        "Not a readable X.509 certificate. Export it again, as PEM or DER.",
        "Geen leesbaar X.509-certificaat. Exporteer het opnieuw, als PEM of DER.";
    TooLarge = "too_large", CertUntrusted,
        "The chain is larger than any that is accepted. Send the certificate and its issuers only.",
        "De keten is groter dan wordt geaccepteerd. Stuur alleen het certificaat en zijn uitgevers.";
    UnknownIssuer = "unknown_issuer", CertUntrusted,
        "The chain does not lead to a trusted root. Send the missing issuer along, or order under a trusted root.",
        "De keten leidt niet naar een vertrouwde root. Stuur de ontbrekende uitgever mee, of bestel onder een vertrouwde root.";
    OtherEnvironment = "other_environment", CertPolicy,
        "The certificate is of the other environment: test and production are apart.",
        "Het certificaat hoort bij de andere omgeving: test en productie zijn gescheiden.";
    BadSignature = "bad_signature", CertUntrusted,
        "A signature in the chain is not its issuer's. Send the issuers that belong to this certificate.",
        "Een handtekening in de keten is niet van de uitgever. Stuur de uitgevers die bij dit certificaat horen.";
    SignatureAlgorithm = "signature_algorithm", CertPolicy,
        "Signed with an algorithm that is not accepted here, such as SHA-1. Order a new certificate.",
        "Ondertekend met een algoritme dat hier niet wordt geaccepteerd, zoals SHA-1. Bestel een nieuw certificaat.";
    Key = "key", CertPolicy,
        "The kind or size of a public key is not accepted. Make a new key pair and order again.",
        "Het soort of de lengte van een publieke sleutel wordt niet geaccepteerd. Maak een nieuw sleutelpaar en bestel opnieuw.";
    Expired = "expired", CertExpired,
        "Expired. Order a new certificate, with a new key pair.",
        "Verlopen. Bestel een nieuw certificaat, met een nieuw sleutelpaar.";
    NotYetValid = "not_yet_valid", CertExpired,
        "Not valid yet. Wait, or check the clock.",
        "Nog niet geldig. Wacht, of controleer de klok.";
    Validity = "validity", CertPolicy,
        "Valid for longer than this set of anchors allows. Order with a shorter validity.",
        "Langer geldig dan deze ankerset toestaat. Bestel met een kortere geldigheid.";
    Revoked = "revoked", CertRevoked,
        "Revoked by its issuer. Order a new certificate, with a new key pair.",
        "Ingetrokken door de uitgever. Bestel een nieuw certificaat, met een nieuw sleutelpaar.";
    ListMissing = "crl_missing", CrlStale,
        "There is no revocation list of an issuer in the chain. The operator fetches it.",
        "Van een uitgever in de keten is er geen intrekkingslijst. De beheerder haalt die op.";
    ListStale = "crl_stale", CrlStale,
        "The revocation list of an issuer in the chain is past its next update. The operator fetches a newer one.",
        "De intrekkingslijst van een uitgever in de keten is over zijn volgende bijwerkdatum. De beheerder haalt een nieuwere op.";
    ListInvalid = "crl_invalid", CrlStale,
        "The revocation list of an issuer in the chain is not signed by that issuer. The operator fetches it again.",
        "De intrekkingslijst van een uitgever in de keten is niet door die uitgever ondertekend. De beheerder haalt die opnieuw op.";
    NotAnAuthority = "not_an_authority", CertUntrusted,
        "An issuer in the chain may not issue certificates. Send the issuers that belong to this certificate.",
        "Een uitgever in de keten mag geen certificaten uitgeven. Stuur de uitgevers die bij dit certificaat horen.";
    AuthorityAsLeaf = "authority_as_leaf", CertUntrusted,
        "The first certificate is an authority's. The own certificate comes first, then its issuers.",
        "Het eerste certificaat is van een uitgever. Het eigen certificaat komt eerst, daarna zijn uitgevers.";
    PathLength = "path_length", CertUntrusted,
        "The chain has more levels than an issuer, or this set of anchors, allows.",
        "De keten heeft meer lagen dan een uitgever, of deze ankerset, toestaat.";
    NameConstraint = "name_constraint", CertUntrusted,
        "An issuer may not issue for a name in this certificate.",
        "Een uitgever mag voor een naam in dit certificaat niet uitgeven.";
    Purpose = "purpose", CertPolicy,
        "Not made for client authentication. Order a certificate with extended key usage clientAuth.",
        "Niet bedoeld voor clientauthenticatie. Bestel een certificaat met extended key usage clientAuth.";
    Policy = "policy", CertPolicy,
        "None of its certificate policies is accepted. Order the product whose policy is on the list.",
        "Geen van de certificate policies wordt geaccepteerd. Bestel het product waarvan de policy op de lijst staat.";
    Names = "names", CertPolicy,
        "Its alternative names are not those that this kind of certificate has: a domain name is missing, or a domain name or an IP address is too many.",
        "De alternatieve namen passen niet bij dit soort certificaat: er ontbreekt een domeinnaam, of er staat een domeinnaam of IP-adres te veel in.";
    ServerName = "server_name", CertUntrusted,
        "The server's certificate is not for the name under which it was reached. Correct the name in the configuration, or order a certificate with that name.",
        "Het certificaat van de server is niet voor de naam waaronder die is bereikt. Verbeter de naam in de configuratie, of bestel een certificaat met die naam.";
    NoOin = "no_oin", OinMissing,
        "The subject has no serialNumber, so no OIN. Order a certificate with the OIN in subject.serialNumber.",
        "Het onderwerp heeft geen serialNumber, dus geen OIN. Bestel een certificaat met het OIN in subject.serialNumber.";
    SeveralOins = "several_oins", OinMissing,
        "The subject has more than one serialNumber. Order a certificate with one OIN.",
        "Het onderwerp heeft meer dan één serialNumber. Bestel een certificaat met één OIN.";
    WrongOin = "wrong_oin", OinMissing,
        "The subject's serialNumber is not an OIN: 20 digits that start with 000000.",
        "Het serialNumber van het onderwerp is geen OIN: 20 cijfers die met 000000 beginnen.";
    OinPattern = "oin_pattern", OinMissing,
        "The OIN has a prefix that is not issued under these anchors.",
        "Het OIN heeft een voorvoegsel dat onder deze ankers niet wordt uitgegeven.";
    TestOin = "test_oin", CertPolicy,
        "OINs that start with 00000099 are for tests; this is production.",
        "OIN's die met 00000099 beginnen zijn voor tests; dit is productie.";
    Unsupported = "unsupported", CertUntrusted,
        "The certificate or its list says something critical that is not understood here.",
        "Het certificaat of de lijst bevat iets kritieks dat hier niet wordt begrepen.";
    Clock = "clock", CertUntrusted,
        "The verifier's own clock gives no time.",
        "De klok van de controlerende partij geeft geen tijd.";
}

/// A chain that is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// Why.
    pub fault: Fault,
    /// The set of anchors that it came furthest in.
    pub set: Option<String>,
    /// The certificate that is at fault: 0 is the leaf.
    pub at: Option<usize>,
    /// The name, value or moment that it is about; empty when there is nothing to say.
    pub about: String,
}

impl Refused {
    pub(super) const fn new(fault: Fault) -> Self {
        Self { fault, set: None, at: None, about: String::new() }
    }

    /// Nobody can judge without knowing the time.
    pub(crate) const fn of_clock() -> Self {
        Self::new(Fault::Clock)
    }

    pub(super) fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    pub(super) const fn at(mut self, at: usize) -> Self {
        self.at = Some(at);
        self
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.english())?;
        if !self.about.is_empty() {
            write!(f, " ({})", self.about)?;
        }
        Ok(())
    }
}
