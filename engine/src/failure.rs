//! Why a call of the C interface failed.

use std::fmt;

/// The numbers of `skiff_code`, but for SKIFF_OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Invalid = 1,
    Unsupported = 2,
    Incompatible = 3,
    Io = 4,
    Internal = 5,
    Exhausted = 6,
}

/// A failure with one line for people, no final period.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub text: String,
}

impl Failure {
    pub fn new(code: Code, text: impl fmt::Display) -> Failure {
        Failure { code, text: text.to_string() }
    }

    /// The whole chain of causes of an engine's error in one line.
    pub fn caused(code: Code, error: &wasmtime::Error) -> Failure {
        let code = if error.is::<wasmtime::OutOfMemory>() { Code::Exhausted } else { code };
        let chain: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
        Failure::new(code, chain.join(": ").replace('\n', " "))
    }
}

/// Cuts at a character's border, so that at most `bytes_max` bytes remain.
pub fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cuts_between_characters() {
        let mut text = String::from("aé");
        super::truncate(&mut text, 2);
        assert_eq!(text, "a");
        super::truncate(&mut text, 2);
        assert_eq!(text, "a");
    }
}
