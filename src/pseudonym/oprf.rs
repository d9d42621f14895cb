//! The verifiable oblivious pseudorandom function (RFC 9497, VOPRF mode, ristretto255-SHA512) as raw bytes.
//!
//! The agent blinds, the keyholder evaluates without seeing the input, the agent verifies the proof against the pinned
//! key and unblinds. Points that are the identity or not canonically encoded are refused on both sides (RFC 9497 §4.1).

use rand_core::CryptoRngCore;
use voprf::{BlindedElement, EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::bsn::Bsn;
use super::key::SecretKey;
use super::known_answer::{IDENTIFIER, KnownAnswer};

/// Length of a serialised point: blinded, evaluated, or the keyholder's public key.
pub const POINT_LEN: usize = 32;
/// Length of a proof: two scalars.
pub const PROOF_LEN: usize = 64;
/// Longest batch under one proof. The crate allows 65535; no partner needs more in one message.
pub const MAX_BATCH: usize = 1000;

/// Why an exchange with the keyholder failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OprfError {
    /// An empty batch, one over [`MAX_BATCH`], or an answer of another size than the question.
    #[error("the batch is empty, too large or incomplete")]
    Batch,
    /// The function's input is empty or over 65535 bytes.
    #[error("the input can't be evaluated")]
    Input,
    /// The keyholder's key is not a canonical, non-zero scalar, or its derivation failed.
    #[error("the key can't be used")]
    Key,
    /// Not a canonical encoding of a point other than the identity.
    #[error("not a valid point")]
    Point,
    /// The proof is malformed or doesn't fit the public key: the keyholder is not the pinned one, or somebody meddled.
    #[error("the keyholder's proof does not hold")]
    Proof,
}

/// The agent's half of one evaluation. Used once, wiped on drop.
pub struct Blinding {
    input: Zeroizing<Vec<u8>>,
    client: VoprfClient<Ristretto255>,
}

impl Blinding {
    /// Blinds an input; returns the state to keep and the bytes to send.
    ///
    /// # Errors
    /// [`OprfError::Input`] if the input is empty or too long.
    pub fn start(input: &[u8], rng: &mut impl CryptoRngCore) -> Result<(Self, [u8; POINT_LEN]), OprfError> {
        // The crate notices a long input only at the end, and accepts an empty one.
        if input.is_empty() || input.len() > usize::from(u16::MAX) {
            return Err(OprfError::Input);
        }
        let blinded = VoprfClient::blind(input, rng).map_err(|_| OprfError::Input)?;
        let sent = blinded.message.serialize().into();
        Ok((Self { input: Zeroizing::new(input.to_vec()), client: blinded.state }, sent))
    }

    /// Verifies the keyholder's answer and unblinds it.
    ///
    /// # Errors
    /// [`OprfError::Point`] or [`OprfError::Proof`].
    pub fn finish(self, evaluated: &[u8], proof: &[u8], public_key: &PublicKey) -> Result<OprfOutput, OprfError> {
        let outputs = Self::finish_batch(vec![self], &[evaluated], proof, public_key)?;
        outputs.into_iter().next().ok_or(OprfError::Batch)
    }

    /// The same for several evaluations under one proof, in the order of the blinded points.
    ///
    /// # Errors
    /// [`OprfError::Batch`], [`OprfError::Point`] or [`OprfError::Proof`].
    pub fn finish_batch(
        blindings: Vec<Self>,
        evaluated: &[&[u8]],
        proof: &[u8],
        public_key: &PublicKey,
    ) -> Result<Vec<OprfOutput>, OprfError> {
        if blindings.len() != evaluated.len() {
            return Err(OprfError::Batch);
        }
        check_batch(evaluated.len())?;
        let points = evaluated.iter().map(|bytes| evaluated_point(bytes)).collect::<Result<Vec<_>, _>>()?;
        let proof = exact(proof, PROOF_LEN)
            .and_then(|bytes| Proof::<Ristretto255>::deserialize(bytes).ok())
            .ok_or(OprfError::Proof)?;
        let (inputs, clients): (Vec<_>, Vec<_>) = blindings.into_iter().map(|b| (b.input, b.client)).unzip();
        let inputs: Vec<&[u8]> = inputs.iter().map(|input| input.as_slice()).collect();
        VoprfClient::batch_finalize(&inputs, &clients, &points, &proof, public_key.0)
            .map_err(|_| OprfError::Proof)?
            .map(|output| output.map(|bytes| OprfOutput(bytes.into())).map_err(|_| OprfError::Input))
            .collect()
    }
}

/// `y`: what the function gives for one input under the keyholder's key. Goes to the hub with a referral, nowhere else.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OprfOutput([u8; Self::LEN]);

impl OprfOutput {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// `y` as it came over the wire.
    ///
    /// # Errors
    /// [`OprfError::Input`] unless there are exactly 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OprfError> {
        bytes.try_into().map(Self).map_err(|_| OprfError::Input)
    }

    /// The secret bytes, to be sent to the hub.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// The keyholder's public key, as partners pin it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(<Ristretto255 as Group>::Elem);

impl PublicKey {
    /// Reads a pinned key.
    ///
    /// # Errors
    /// [`OprfError::Point`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OprfError> {
        exact(bytes, POINT_LEN)
            .and_then(|bytes| Ristretto255::deserialize_elem(bytes).ok())
            .map(Self)
            .ok_or(OprfError::Point)
    }

    /// The 32 bytes to pin.
    pub fn to_bytes(&self) -> [u8; POINT_LEN] {
        Ristretto255::serialize_elem(self.0).into()
    }
}

/// The keyholder's half: one key, no memory.
pub struct Keyholder(VoprfServer<Ristretto255>);

/// What the keyholder answers: evaluated points in the order of the question, and one proof over all of them.
pub struct Evaluation {
    /// One point for each blinded point.
    pub evaluated: Vec<[u8; POINT_LEN]>,
    /// Discrete-logarithm equality, RFC 9497 §2.2.
    pub proof: [u8; PROOF_LEN],
}

impl Keyholder {
    /// The keyholder whose key is derived from this seed (RFC 9497 §3.2.1).
    ///
    /// # Errors
    /// [`OprfError::Key`], with a chance of about 2⁻²⁵².
    pub fn from_seed(seed: &SecretKey) -> Result<Self, OprfError> {
        Self::derive(seed.as_bytes(), b"sluis/v1/keyholder")
    }

    /// Evaluates one blinded point and proves that it was done with the published key.
    ///
    /// # Errors
    /// [`OprfError::Point`].
    pub fn evaluate(&self, blinded: &[u8], rng: &mut impl CryptoRngCore) -> Result<Evaluation, OprfError> {
        self.evaluate_batch(&[blinded], rng)
    }

    /// Evaluates up to [`MAX_BATCH`] blinded points under one proof. All or none: one bad point refuses the batch.
    ///
    /// # Errors
    /// [`OprfError::Batch`] or [`OprfError::Point`].
    pub fn evaluate_batch(&self, blinded: &[&[u8]], rng: &mut impl CryptoRngCore) -> Result<Evaluation, OprfError> {
        check_batch(blinded.len())?;
        let points = blinded.iter().map(|bytes| blinded_point(bytes)).collect::<Result<Vec<_>, _>>()?;
        let result = self.0.batch_blind_evaluate(rng, &points).map_err(|_| OprfError::Batch)?;
        Ok(Evaluation {
            evaluated: result.messages.iter().map(|point| point.serialize().into()).collect(),
            proof: result.proof.serialize().into(),
        })
    }

    /// The key that partners pin.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.get_public_key())
    }

    /// What every partner must find for the fixed synthetic identifier.
    ///
    /// # Errors
    /// [`OprfError::Input`], never for a valid build: the identifier is a constant.
    pub fn evaluate_known_answer(&self) -> Result<KnownAnswer, OprfError> {
        let bsn = Bsn::parse(IDENTIFIER).map_err(|_| OprfError::Input)?;
        Ok(KnownAnswer::of(&self.evaluate_unblinded(&bsn)?))
    }

    /// `y` for an identifier in clear. Only for the fixed one and for tests: the keyholder sees no real identifier.
    pub(super) fn evaluate_unblinded(&self, bsn: &Bsn) -> Result<OprfOutput, OprfError> {
        let output = self.0.evaluate(&bsn.canonical_input()).map_err(|_| OprfError::Input)?;
        Ok(OprfOutput(output.into()))
    }

    fn derive(seed: &[u8], info: &[u8]) -> Result<Self, OprfError> {
        VoprfServer::new_from_seed(seed, info).map(Self).map_err(|_| OprfError::Key)
    }
}

fn check_batch(len: usize) -> Result<(), OprfError> {
    if (1..=MAX_BATCH).contains(&len) { Ok(()) } else { Err(OprfError::Batch) }
}

fn blinded_point(bytes: &[u8]) -> Result<BlindedElement<Ristretto255>, OprfError> {
    exact(bytes, POINT_LEN).and_then(|bytes| BlindedElement::deserialize(bytes).ok()).ok_or(OprfError::Point)
}

fn evaluated_point(bytes: &[u8]) -> Result<EvaluationElement<Ristretto255>, OprfError> {
    exact(bytes, POINT_LEN).and_then(|bytes| EvaluationElement::deserialize(bytes).ok()).ok_or(OprfError::Point)
}

/// The crate reads a prefix and ignores what follows; here the length must be exact.
fn exact(bytes: &[u8], len: usize) -> Option<&[u8]> {
    (bytes.len() == len).then_some(bytes)
}

#[cfg(test)]
mod tests;
