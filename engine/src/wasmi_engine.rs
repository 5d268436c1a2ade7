//! Wasmi as a provider.

use crate::failure::{Code, Failure};
use crate::provider::{Program, Provider, Settings};
use std::fs::File;
use std::hash::Hasher;

pub struct Engine;

impl Engine {
    pub fn new(_settings: &Settings) -> Result<Engine, Failure> {
        Err(Failure::new(Code::Unsupported, "wasmi is not here yet"))
    }
}

/// What artifacts depend on.
pub fn compatibility(_hasher: &mut impl Hasher) {}

impl Provider for Engine {
    fn compile(&self, _: &[u8], _: crate::inspect::Kind) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(Code::Unsupported, "wasmi is not here yet"))
    }

    fn load(&self, _: File) -> Result<Box<dyn Program>, Failure> {
        Err(Failure::new(Code::Unsupported, "wasmi is not here yet"))
    }
}
