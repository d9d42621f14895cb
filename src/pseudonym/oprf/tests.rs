//! Published vectors of RFC 9497 Appendix A.1.2, and answers that must be refused.

use super::*;
use rand_core::{CryptoRng, OsRng, RngCore};

/// Key of A.1.2: Seed is 32 times a3, KeyInfo "test key".
const KEY_INFO: &[u8] = b"test key";
const SECRET: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";
const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const BLIND_2: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";

/// Input, blinded element, evaluation element, output; shared by the single vectors and the batch.
const EVALUATIONS: [[&str; 4]; 2] = [
    [
        "00",
        "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
        "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
        "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    ],
    [
        "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
        "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c",
        "60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468",
        "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
    ],
];
const PROOFS: [&str; 2] = [
    "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd066d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
    "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
];
const PROOF_SCALAR: &str = BLIND_2;
/// A.1.2.3: the second element of the batch has another blind than in A.1.2.2.
const BATCH_BLINDED: &str = "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654";
const BATCH_EVALUATED: &str = "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a";
const BATCH_PROOF: &str = "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08";
const BATCH_PROOF_SCALAR: &str = "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c";

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

/// Gives the vector's scalar for the proof: 64 bytes are drawn and reduced, so the scalar comes first, then zeros.
struct FixedScalar(Vec<u8>);

impl RngCore for FixedScalar {
    fn next_u32(&mut self) -> u32 {
        0
    }
    fn next_u64(&mut self) -> u64 {
        0
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.fill(0);
        dest[..self.0.len()].copy_from_slice(&self.0);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for FixedScalar {}

fn rfc_keyholder() -> Keyholder {
    Keyholder::derive(&[0xa3; 32], KEY_INFO).unwrap()
}

fn blinding(input: &str, blind: &str) -> (Blinding, [u8; POINT_LEN]) {
    let (input, scalar) = (unhex(input), Ristretto255::deserialize_scalar(&unhex(blind)).unwrap());
    let blinded = VoprfClient::deterministic_blind_unchecked(&input, scalar).unwrap();
    (Blinding { input: Zeroizing::new(input), client: blinded.state }, blinded.message.serialize().into())
}

#[test]
fn rfc_9497_a_1_2_key() {
    let keyholder = rfc_keyholder();
    assert_eq!(keyholder.public_key().to_bytes().to_vec(), unhex(PUBLIC));
    assert_eq!(&keyholder.0.serialize()[..32], unhex(SECRET));
}

#[test]
fn rfc_9497_a_1_2_single_evaluations() {
    let keyholder = rfc_keyholder();
    for ([input, blinded, evaluated, output], proof) in EVALUATIONS.into_iter().zip(PROOFS) {
        let (state, sent) = blinding(input, BLIND);
        assert_eq!(sent.to_vec(), unhex(blinded));
        let answer = keyholder.evaluate(&sent, &mut FixedScalar(unhex(PROOF_SCALAR))).unwrap();
        assert_eq!(answer.evaluated.concat(), unhex(evaluated));
        assert_eq!(answer.proof.to_vec(), unhex(proof));
        let y = state.finish(&unhex(evaluated), &unhex(proof), &keyholder.public_key()).unwrap();
        assert_eq!(y.as_bytes().to_vec(), unhex(output));
        assert_eq!(keyholder.0.evaluate(&unhex(input)).unwrap().to_vec(), unhex(output));
    }
}

#[test]
fn rfc_9497_a_1_2_3_batch() {
    let keyholder = rfc_keyholder();
    let (first, second) = (blinding(EVALUATIONS[0][0], BLIND), blinding(EVALUATIONS[1][0], BLIND_2));
    assert_eq!(second.1.to_vec(), unhex(BATCH_BLINDED));
    let answer = keyholder.evaluate_batch(&[&first.1, &second.1], &mut FixedScalar(unhex(BATCH_PROOF_SCALAR))).unwrap();
    assert_eq!(answer.evaluated[1].to_vec(), unhex(BATCH_EVALUATED));
    assert_eq!(answer.proof.to_vec(), unhex(BATCH_PROOF));
    let evaluated: Vec<&[u8]> = answer.evaluated.iter().map(<[u8; 32]>::as_slice).collect();
    let outputs =
        Blinding::finish_batch(vec![first.0, second.0], &evaluated, &answer.proof, &keyholder.public_key()).unwrap();
    for (y, [.., output]) in outputs.iter().zip(EVALUATIONS) {
        assert_eq!(y.as_bytes().to_vec(), unhex(output));
    }
}

#[test]
fn the_output_is_the_same_whatever_the_blind() {
    let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
    let run = || {
        let (state, sent) = Blinding::start(b"input", &mut OsRng).unwrap();
        let answer = keyholder.evaluate(&sent, &mut OsRng).unwrap();
        (sent, state.finish(&answer.evaluated[0], &answer.proof, &keyholder.public_key()).unwrap())
    };
    let (first, second) = (run(), run());
    assert_ne!(first.0, second.0);
    assert!(first.1.as_bytes() == second.1.as_bytes());
}

/// The identity, a wrong length, and encodings that RFC 9496 §A.3 lists as invalid: non-canonical field elements,
/// negative ones, and values that are not squares.
fn bad_points() -> Vec<Vec<u8>> {
    let mut bad: Vec<Vec<u8>> = vec![vec![], vec![0; 31], vec![0; 33], vec![0; 32], vec![0xff; 32]];
    bad.push(unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"));
    bad.push(unhex("f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"));
    bad.push(unhex("0100000000000000000000000000000000000000000000000000000000000000"));
    bad.push(unhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"));
    bad.push([unhex(PUBLIC), vec![0]].concat());
    bad
}

#[test]
fn bad_points_are_refused_on_both_sides() {
    let keyholder = rfc_keyholder();
    let good = unhex(EVALUATIONS[0][1]);
    for bad in bad_points() {
        assert_eq!(keyholder.evaluate(&bad, &mut OsRng).err(), Some(OprfError::Point), "{bad:?}");
        assert_eq!(keyholder.evaluate_batch(&[&good, &bad], &mut OsRng).err(), Some(OprfError::Point));
        assert!(PublicKey::from_bytes(&bad).is_err());
        let (state, _) = blinding(EVALUATIONS[0][0], BLIND);
        let result = state.finish(&bad, &unhex(PROOFS[0]), &keyholder.public_key());
        assert!(result.err() == Some(OprfError::Point));
    }
}

#[test]
fn a_false_answer_is_refused() {
    let (keyholder, imposter) = (rfc_keyholder(), Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap());
    let [input, _, evaluated, _] = EVALUATIONS[0];
    let (evaluated, proof) = (unhex(evaluated), unhex(PROOFS[0]));
    let mut flipped = proof.clone();
    flipped[0] ^= 1;
    let not_reduced = vec![0xff; 64];
    let other_point = unhex(EVALUATIONS[1][2]);
    let cases: [(&[u8], &[u8], PublicKey); 6] = [
        (&evaluated, &flipped, keyholder.public_key()),
        (&evaluated, &proof[..63], keyholder.public_key()),
        (&evaluated, &[proof.as_slice(), &[0]].concat(), keyholder.public_key()),
        (&evaluated, &not_reduced, keyholder.public_key()),
        (&other_point, &proof, keyholder.public_key()),
        (&evaluated, &proof, imposter.public_key()),
    ];
    for (evaluated, proof, public_key) in cases {
        let (state, _) = blinding(input, BLIND);
        assert!(state.finish(evaluated, proof, &public_key).err() == Some(OprfError::Proof));
    }
    let (state, sent) = blinding(input, BLIND);
    let answer = imposter.evaluate(&sent, &mut OsRng).unwrap();
    let result = state.finish(&answer.evaluated[0], &answer.proof, &keyholder.public_key());
    assert!(result.err() == Some(OprfError::Proof));
}

#[test]
fn batches_have_limits() {
    let keyholder = rfc_keyholder();
    let point = unhex(EVALUATIONS[0][1]);
    assert_eq!(keyholder.evaluate_batch(&[], &mut OsRng).err(), Some(OprfError::Batch));
    let many = vec![point.as_slice(); MAX_BATCH + 1];
    assert_eq!(keyholder.evaluate_batch(&many, &mut OsRng).err(), Some(OprfError::Batch));
    let (state, _) = blinding(EVALUATIONS[0][0], BLIND);
    let result = Blinding::finish_batch(vec![state], &[], &unhex(PROOFS[0]), &keyholder.public_key());
    assert!(result.err() == Some(OprfError::Batch));
    // Swapping two answers inside a batch breaks the proof.
    let (first, second) = (blinding("00", BLIND), blinding("5a", BLIND_2));
    let answer = keyholder.evaluate_batch(&[&first.1, &second.1], &mut OsRng).unwrap();
    let swapped: [&[u8]; 2] = [&answer.evaluated[1], &answer.evaluated[0]];
    let result = Blinding::finish_batch(vec![first.0, second.0], &swapped, &answer.proof, &keyholder.public_key());
    assert!(result.err() == Some(OprfError::Proof));
}

#[test]
fn inputs_have_limits() {
    for (len, accepted) in [(0, false), (1, true), (65535, true), (65536, false)] {
        assert_eq!(Blinding::start(&vec![1; len], &mut OsRng).is_ok(), accepted, "{len}");
    }
    assert!(OprfOutput::from_bytes(&[0; 63]).is_err());
}
