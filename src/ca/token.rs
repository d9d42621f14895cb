//! A key in a PKCS#11 token, which signs and never gives it out.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{OctetStringRef, UintRef};
use pkcs8::der::{Decode as _, Encode as _};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::digest::{SHA256, SHA384, digest};
use serde::{Deserialize, Serialize};

use super::CaError;
use super::error::TokenError;
use super::secret::SecretFrom;

const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Which key in which token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The maker's library.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// The label of the key pair in it.
    pub key: String,
}

/// An opened key. Has no `Debug`.
pub(super) struct Token {
    name: TokenKey,
    // The library behind a session does one thing at a time.
    session: Mutex<Session>,
    private: ObjectHandle,
    algorithm: &'static SignatureAlgorithm,
    point: Vec<u8>,
}

impl Token {
    /// The key of this label.
    pub(super) fn open(name: &TokenKey, pin: &SecretFrom) -> Result<Self, CaError> {
        let session = log_in(name, pin)?;
        Ok(Self::of(name, session)?.ok_or_else(|| no_key(name))?)
    }

    /// The key of this label, made if there is none: P-256, and never to leave the token.
    pub(super) fn open_or_make(name: &TokenKey, pin: &SecretFrom) -> Result<Self, CaError> {
        let session = log_in(name, pin)?;
        let refuses = |error| refuses(name, &error);
        if find(name, &session, ObjectClass::PRIVATE_KEY)?.is_empty() {
            make(name, &session).map_err(refuses)?;
        }
        Ok(Self::of(name, session)?.ok_or_else(|| no_key(name))?)
    }

    /// The one key pair of this label.
    fn of(name: &TokenKey, session: Session) -> Result<Option<Self>, TokenError> {
        let (private, public) =
            (find(name, &session, ObjectClass::PRIVATE_KEY)?, find(name, &session, ObjectClass::PUBLIC_KEY)?);
        let ([private], [public]) = (private.as_slice(), public.as_slice()) else { return Ok(None) };
        let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
        let shown = session.get_attributes(*public, &wanted).map_err(|error| refuses(name, &error))?;
        let kind = || TokenError::Kind(name.key.clone());
        let (mut algorithm, mut point) = (None, None);
        for attribute in shown {
            match attribute {
                Attribute::EcParams(der) => algorithm = curve(&der),
                Attribute::EcPoint(der) => {
                    point = <&OctetStringRef>::from_der(&der).ok().map(|it| it.as_bytes().to_vec())
                }
                _ => {}
            }
        }
        let (algorithm, point) = (algorithm.ok_or_else(kind)?, point.ok_or_else(kind)?);
        Ok(Some(Self { name: name.clone(), private: *private, session: Mutex::new(session), algorithm, point }))
    }

    fn signature(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let hash = if self.algorithm == &PKCS_ECDSA_P256_SHA256 { &SHA256 } else { &SHA384 };
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = session.sign(&Mechanism::Ecdsa, self.private, digest(hash, bytes).as_ref()).ok()?;
        // PKCS#11 puts r and s one behind the other; certificates have them as Ecdsa-Sig-Value (RFC 3279 §2.2.3).
        let (r, s) = raw.split_at_checked(raw.len() / 2)?;
        vec![UintRef::new(r).ok()?, UintRef::new(s).ok()?].to_der().ok()
    }

    /// What it is called.
    pub(super) const fn name(&self) -> &TokenKey {
        &self.name
    }
}

impl PublicKeyData for Token {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Token {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signature(bytes).ok_or(rcgen::Error::RemoteKeyError)
    }
}

fn log_in(name: &TokenKey, pin: &SecretFrom) -> Result<Session, CaError> {
    let module = || TokenError::Module(name.module.clone());
    let library = Pkcs11::new(&name.module).map_err(|_| module())?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Once in a process, and root and issuing key may both be in tokens.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(_) => return Err(module().into()),
    }
    let slots = library.get_slots_with_token().map_err(|_| module())?;
    let is_named = |slot: &Slot| library.get_token_info(*slot).is_ok_and(|info| info.label() == name.label);
    let slot = slots.into_iter().find(is_named).ok_or_else(|| TokenError::Absent(name.label.clone()))?;
    let session = library.open_rw_session(slot).map_err(|error| refuses(name, &error))?;
    let pin = AuthPin::from(pin.known()?.as_str());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => {
            let is_last = library.get_token_info(slot).is_ok_and(|info| info.user_pin_final_try());
            Err(refused_pin(name, &error, is_last).into())
        }
    }
}

fn refused_pin(name: &TokenKey, error: &Error, is_last: bool) -> TokenError {
    let token = name.label.clone();
    match error {
        Error::Pkcs11(RvError::PinLocked, _) => TokenError::Locked(token),
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) if is_last => {
            TokenError::LastTry(token)
        }
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            TokenError::WrongPin(token)
        }
        other => refuses(name, other),
    }
}

fn find(name: &TokenKey, session: &Session, class: ObjectClass) -> Result<Vec<ObjectHandle>, TokenError> {
    let template = [Attribute::Class(class), Attribute::Label(name.key.as_bytes().to_vec())];
    session.find_objects(&template).map_err(|error| refuses(name, &error))
}

fn make(name: &TokenKey, session: &Session) -> Result<(), Error> {
    let label = Attribute::Label(name.key.as_bytes().to_vec());
    let curve = P256.to_der().map_err(|_| Error::InvalidValue)?;
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(curve),
        label.clone(),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        label,
    ];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).map(drop)
}

fn curve(der: &[u8]) -> Option<&'static SignatureAlgorithm> {
    match ObjectIdentifier::from_der(der).ok()? {
        P256 => Some(&PKCS_ECDSA_P256_SHA256),
        P384 => Some(&PKCS_ECDSA_P384_SHA384),
        _ => None,
    }
}

fn no_key(name: &TokenKey) -> TokenError {
    TokenError::NoKey { token: name.label.clone(), label: name.key.clone() }
}

/// What the library said: a name of the standard, and nothing that is secret.
fn refuses(name: &TokenKey, error: &Error) -> TokenError {
    let what = match error {
        Error::Pkcs11(code, function) => format!("{function:?} says {code:?}"),
        other => other.to_string(),
    };
    TokenError::Refuses { token: name.label.clone(), what }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    /// What tokens say of a PIN, and what people read. Locking itself depends on the maker: SoftHSM never does it.
    #[test]
    fn a_pin_that_is_refused_is_explained() {
        let name = TokenKey { module: "m".into(), label: "ca".to_owned(), key: "k".to_owned() };
        let cases = [
            (RvError::PinIncorrect, false, "PIN is wrong; several"),
            (RvError::PinLenRange, false, "PIN is wrong; several"),
            (RvError::PinIncorrect, true, "one more"),
            (RvError::PinLocked, false, "SO PIN"),
            (RvError::PinLocked, true, "SO PIN"),
            (RvError::DeviceRemoved, false, "DeviceRemoved"),
        ];
        for (code, is_last, hint) in cases {
            let text = refused_pin(&name, &Error::Pkcs11(code, Function::Login), is_last).to_string();
            assert!(text.contains(hint) && text.contains("`ca`"), "{text}");
        }
    }
}
