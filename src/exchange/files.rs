//! The log's checkpoint and its tiles. There is nothing in them but hashes, so reading them is no event: a log that grew by
//! being read would never come to rest.

use super::{Exchange, Refused, unavailable};
use crate::store::StoreError;
use crate::store::tree::tile;
use crate::tlog::Resource;

/// Bytes of a hash.
const HASH: usize = 32;

impl Exchange {
    /// A file of the log without its entries; nothing if there is none, or not so much of it.
    pub async fn log_file(&self, file: &Resource) -> Result<Option<Vec<u8>>, Refused> {
        self.read_file(file).await.map_err(|error| unavailable(&error))
    }

    async fn read_file(&self, file: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reader = self.store.reader();
        Ok(match *file {
            Resource::Checkpoint => self.published().await?.map(|row| row.note),
            Resource::Pending => self.to_sign().await?.map(|row| row.note),
            // A tile that has grown since begins as it was.
            Resource::Tile { level, index, width } => {
                let hashes = tile(&mut reader, (level, index)).await?;
                hashes.and_then(|hashes| Some(hashes.get(..width * HASH)?.to_vec()))
            }
            Resource::Entries { .. } => None,
        })
    }
}
