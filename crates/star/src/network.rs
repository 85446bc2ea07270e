//! The way to the world: one request, one answer, through the gateway.
//!
//! Only a download stage has it. In every other stage [`Disabled`] stands in
//! its place, and beneath that the jail, where no network exists.

/// One request. The gateway decides whether it may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Absolute, `http` or `https`, its query included.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Where the answer came from, after redirects.
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("network use is disabled. http can only be used during download step")]
    Disabled,
    #[error("the gateway refused {url}: {why}")]
    Refused { url: String, why: String },
    #[error("could not fetch {url}: {why}")]
    Failed { url: String, why: String },
}

/// Makes requests.
pub trait Network {
    /// Makes one request and reads its whole answer.
    ///
    /// # Errors
    ///
    /// [`NetworkError`]: outside of the download stage always `Disabled`.
    fn fetch(&self, request: &Request) -> Result<Answer, NetworkError>;
}

/// The network of every stage but download: none.
#[derive(Clone, Copy, Debug)]
pub struct Disabled;

impl Network for Disabled {
    fn fetch(&self, _: &Request) -> Result<Answer, NetworkError> {
        Err(NetworkError::Disabled)
    }
}
