//! Linking components before they are compiled.

use crate::failure::{Code, Failure};

/// See `skiff_link`.
pub fn link(_socket: &[u8], _plugs: &[&[u8]]) -> Result<Vec<u8>, Failure> {
    Err(Failure::new(Code::Unsupported, "components cannot be linked yet"))
}
