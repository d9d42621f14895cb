//! The hub's own name for a youth: one tag per subject, the same whoever refers it, and worthless without `k_hub`.

use rand_core::CryptoRngCore;

use super::key::{Epoch, KeyError, KeyRing};
use super::oprf::OprfOutput;

/// `t`: what the hub stores and matches on. Personal data under the GDPR all the same; never printed.
///
/// A tag knows the epoch of the key that was laid on last, so that no key can be laid on twice or left out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SubjectTag {
    epoch: Epoch,
    value: [u8; Self::LEN],
}

/// Why a tag can't be brought to another epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A key that is needed for this epoch is not in the ring.
    #[error("a key for this epoch is missing")]
    Key(#[source] KeyError),
    /// The tag is newer than the ring.
    #[error("the tag is of a later epoch than the keys")]
    Later,
    /// Not 32 bytes.
    #[error("the tag does not have 32 bytes")]
    Length,
}

impl SubjectTag {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The tag of the subject behind `y`, at the ring's current epoch: the base tag under the first key, then one layer
    /// for each later key, exactly as a stored tag was rotated. So new referrals keep matching old ones.
    ///
    /// # Errors
    /// [`TagError::Key`] if the ring no longer holds the first epoch's key: it must, for as long as tags are derived.
    pub fn derive(ring: &KeyRing, y: &OprfOutput) -> Result<Self, TagError> {
        let key = ring.key(Epoch::FIRST).map_err(TagError::Key)?;
        let epoch = Epoch::FIRST.number().to_be_bytes();
        let value = key.hmac(&[b"sluis/v1/subject-tag", &epoch, y.as_bytes()]);
        Self { epoch: Epoch::FIRST, value }.rotate(ring)
    }

    /// A tag for a youth without a citizen service number (REFERENCE 7.2.4). Matches nothing until it is merged.
    pub fn random(ring: &KeyRing, rng: &mut impl CryptoRngCore) -> Self {
        let mut value = [0; Self::LEN];
        rng.fill_bytes(&mut value);
        Self { epoch: ring.current(), value }
    }

    /// A tag as it was stored.
    ///
    /// # Errors
    /// [`TagError::Length`].
    pub fn from_stored(epoch: Epoch, value: &[u8]) -> Result<Self, TagError> {
        Ok(Self { epoch, value: value.try_into().map_err(|_| TagError::Length)? })
    }

    /// The same subject at the ring's current epoch: a new HMAC over the old tag for each epoch in between. Needs no `y`
    /// and no partner; a tag that is already current comes back unchanged.
    ///
    /// # Errors
    /// [`TagError::Later`] or [`TagError::Key`].
    pub fn rotate(&self, ring: &KeyRing) -> Result<Self, TagError> {
        if self.epoch > ring.current() {
            return Err(TagError::Later);
        }
        let mut tag = self.clone();
        while tag.epoch < ring.current() {
            let epoch = tag.epoch.next();
            let key = ring.key(epoch).map_err(TagError::Key)?;
            let value = key.hmac(&[b"sluis/v1/subject-tag-layer", &epoch.number().to_be_bytes(), &tag.value]);
            tag = Self { epoch, value };
        }
        Ok(tag)
    }

    /// The epoch of the last layer; stored beside the tag.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The value to store and match on.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::SecretKey;
    use rand_core::OsRng;

    fn key(fill: u8) -> SecretKey {
        SecretKey::from_bytes(&[fill; 32]).unwrap()
    }

    fn y(fill: u8) -> OprfOutput {
        OprfOutput::from_bytes(&[fill; 64]).unwrap()
    }

    #[test]
    fn one_youth_has_one_tag_and_two_have_two() {
        let ring = KeyRing::new(Epoch::FIRST, key(1));
        let other = KeyRing::new(Epoch::FIRST, key(2));
        let tag = SubjectTag::derive(&ring, &y(1)).unwrap();
        assert!(tag == SubjectTag::derive(&ring, &y(1)).unwrap());
        assert!(tag != SubjectTag::derive(&ring, &y(2)).unwrap());
        assert!(tag != SubjectTag::derive(&other, &y(1)).unwrap());
        assert!(SubjectTag::random(&ring, &mut OsRng) != SubjectTag::random(&ring, &mut OsRng));
    }

    #[test]
    fn a_rotated_tag_equals_a_fresh_one() {
        let mut ring = KeyRing::new(Epoch::FIRST, key(1));
        let (old, stray) = (SubjectTag::derive(&ring, &y(1)).unwrap(), SubjectTag::random(&ring, &mut OsRng));
        ring.add(Epoch::FIRST.next(), key(2)).unwrap();
        ring.add(Epoch::FIRST.next().next(), key(3)).unwrap();
        let fresh = SubjectTag::derive(&ring, &y(1)).unwrap();
        assert!(old != fresh);
        assert!(old.rotate(&ring).unwrap() == fresh);
        assert!(fresh.rotate(&ring).unwrap() == fresh);
        assert!(stray.rotate(&ring).unwrap().epoch() == ring.current());
    }

    #[test]
    fn missing_keys_and_later_tags_are_refused() {
        let late = KeyRing::new(Epoch::FIRST.next(), key(1));
        assert!(SubjectTag::derive(&late, &y(1)).err() == Some(TagError::Key(KeyError::UnknownEpoch)));
        let early = KeyRing::new(Epoch::FIRST, key(1));
        assert!(SubjectTag::random(&late, &mut OsRng).rotate(&early).err() == Some(TagError::Later));
        assert!(SubjectTag::from_stored(Epoch::FIRST, &[0; 31]).err() == Some(TagError::Length));
    }
}
