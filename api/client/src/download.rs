//! Downloads: answers that may be longer than memory, as they come.

use std::io::Write;

use reqwest::Response;

use crate::address::ServerAddress;
use crate::answer::failed;
use crate::error::ClientError;

/// An answer as it comes.
#[derive(Debug)]
pub struct Download {
    address: ServerAddress,
    response: Response,
}

impl Download {
    pub(crate) fn new(address: ServerAddress, response: Response) -> Self {
        Self { address, response }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Broken`]: what came before is not the whole.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let chunk = self.response.chunk().await.map_err(|e| failed(&self.address, e))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// [`ClientError::Broken`], [`ClientError::Write`].
    pub async fn write_to(mut self, to: &mut (dyn Write + Send)) -> Result<u64, ClientError> {
        let mut written = 0;
        while let Some(bytes) = self.next().await? {
            to.write_all(&bytes).map_err(ClientError::Write)?;
            written += bytes.len() as u64;
        }
        to.flush().map_err(ClientError::Write)?;
        Ok(written)
    }

    /// All of it, if it is not longer than `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError::Broken`], [`ClientError::TooLong`].
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > limit {
                return Err(ClientError::TooLong("a download"));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
