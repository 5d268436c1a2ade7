//! The core dump of a trap, as WebAssembly's tool conventions define it: a module with the guest's memories
//! and globals, and sections of what was instantiated and called.
//!
//! Wasmtime's own function would build it in memory with two copies of the guest's, which a guest near its
//! limit cannot afford: here memories go to the file piece by piece, and only the sections without them are
//! Wasmtime's.

use crate::grant::Grant;
use crate::run::Ended;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmparser::{Parser, Payload};
use wasmtime::{Error, HeapType, Memory, Mutability, Store, Val, ValType, WasmCoreDump};
use wasmtime_wasi::I32Exit;

/// Memory is looked at in pieces of this size: those that hold zeros alone are left out.
const PIECE: usize = 4096;
static ZEROS: [u8; PIECE] = [0; PIECE];

const SECTION_CUSTOM: u8 = 0;
const SECTION_MEMORY: u8 = 5;
const SECTION_GLOBAL: u8 = 6;
const SECTION_DATA: u8 = 11;

/// Writes the core dump of a run that ended in a trap, see `of_error`.
pub fn of_end<T: 'static>(ended: &Ended, store: &mut Store<T>, grant: &Grant) -> Option<String> {
    let Err((_, error)) = ended else { return None };
    of_error(error, store, grant)
}

/// Writes the core dump that an error of Wasmtime carries, if the grant wants one, and empties the guest's
/// memory for it. A line for people: what was written or why nothing.
pub fn of_error<T: 'static>(error: &Error, store: &mut Store<T>, grant: &Grant) -> Option<String> {
    let fd = grant.coredump?;
    if error.downcast_ref::<I32Exit>().is_some() {
        return None;
    }
    let dump = error.downcast_ref::<WasmCoreDump>()?;
    let name = grant.program().unwrap_or("guest");
    Some(match write(dump, store, name, fd, grant.coredump_bytes_max) {
        Ok(bytes) => format!("core dump: {bytes} bytes"),
        Err(text) => format!("core dump: none, {text}"),
    })
}

fn write<T: 'static>(
    dump: &WasmCoreDump,
    store: &mut Store<T>,
    name: &str,
    fd: RawFd,
    bytes_max: u64,
) -> Result<u64, String> {
    let mut pieces = Vec::new();
    let mut bytes_left = bytes_max;
    for memory in dump.memories() {
        let found = pieces_of(memory.data(&*store), &mut bytes_left);
        pieces.push(found.ok_or_else(|| too_large(bytes_max))?);
    }
    let (before, headers) = before_data(dump, store, name, &pieces);
    let data: usize = headers.iter().map(Vec::len).sum();
    let size = before.len() + data + pieces.iter().flatten().map(Range::len).sum::<usize>();
    if size as u64 > bytes_max {
        return Err(too_large(bytes_max));
    }
    // SAFETY: the grant promises an open descriptor; it stays the caller's.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let written = || -> io::Result<u64> {
        let mut output = BufWriter::new(&*file);
        output.write_all(&before)?;
        let mut headers = headers.iter();
        for (memory, pieces) in dump.memories().iter().zip(&pieces) {
            for piece in pieces {
                output.write_all(headers.next().map_or(&[], |header| header))?;
                output.write_all(&memory.data(&*store)[piece.clone()])?;
                // Nobody needs it any more, and Wasmtime would copy it once more below.
                memory.data_mut(&mut *store)[piece.clone()].fill(0);
            }
        }
        let after = after_data(dump, store, name)?;
        let size = (size + after.len()) as u64;
        if size > bytes_max {
            return Err(io::Error::other(too_large(bytes_max)));
        }
        output.write_all(&after)?;
        output.flush()?;
        Ok(size)
    }();
    written.map_err(|error| {
        // Half a dump is none.
        let _ = file.set_len(0);
        error.to_string()
    })
}

fn too_large(bytes_max: u64) -> String {
    format!("it would be larger than {bytes_max} bytes")
}

/// What of a memory is not zero. None: more than `bytes_left`, from which it is taken.
fn pieces_of(memory: &[u8], bytes_left: &mut u64) -> Option<Vec<Range<usize>>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for (number, piece) in memory.chunks(PIECE).enumerate() {
        if piece == &ZEROS[..piece.len()] {
            continue;
        }
        *bytes_left = bytes_left.checked_sub(piece.len() as u64)?;
        let start = number * PIECE;
        match pieces.last_mut() {
            Some(last) if last.end == start => last.end += piece.len(),
            _ => pieces.push(start..start + piece.len()),
        }
    }
    Some(pieces)
}

/// The dump up to the content of its data section, and the header of each of that one's segments.
fn before_data<T: 'static>(
    dump: &WasmCoreDump,
    store: &mut Store<T>,
    name: &str,
    pieces: &[Vec<Range<usize>>],
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    let mut core = Vec::new();
    text(&mut core, "core");
    core.push(0);
    text(&mut core, name);
    section(&mut bytes, SECTION_CUSTOM, &core);

    let mut memories = Vec::new();
    unsigned(&mut memories, dump.memories().len() as u64);
    for memory in dump.memories() {
        memory_type(&mut memories, memory, store);
    }
    section(&mut bytes, SECTION_MEMORY, &memories);

    let mut globals = Vec::new();
    unsigned(&mut globals, dump.globals().len() as u64);
    for global in dump.globals() {
        let ty = global.ty(&*store);
        let value = match ty.content() {
            ValType::Ref(_) => None,
            _ => Some(global.get(&mut *store)),
        };
        global_of(&mut globals, ty.content(), ty.mutability(), value);
    }
    section(&mut bytes, SECTION_GLOBAL, &globals);

    let mut headers = Vec::new();
    for (number, (memory, pieces)) in dump.memories().iter().zip(pieces).enumerate() {
        let is_64 = memory.ty(&*store).is_64();
        headers.extend(pieces.iter().map(|piece| segment_header(number, is_64, piece)));
    }
    let mut count = Vec::new();
    unsigned(&mut count, headers.len() as u64);
    let content = pieces.iter().flatten().map(Range::len).sum::<usize>();
    let size = count.len() + headers.iter().map(Vec::len).sum::<usize>() + content;
    bytes.push(SECTION_DATA);
    unsigned(&mut bytes, size as u64);
    bytes.extend(count);
    (bytes, headers)
}

/// Modules, instances and frames, as Wasmtime writes them; the memories are empty by now.
fn after_data<T: 'static>(
    dump: &WasmCoreDump,
    store: &mut Store<T>,
    name: &str,
) -> io::Result<Vec<u8>> {
    // It panics where it meets types that it does not know.
    let whole = catch_unwind(AssertUnwindSafe(|| dump.serialize(&mut *store, name)))
        .map_err(|_| io::Error::other("the guest has globals of a type that cannot be written"))?;
    let mut bytes = Vec::new();
    for payload in Parser::new(0).parse_all(&whole) {
        let payload = payload.map_err(io::Error::other)?;
        if let Payload::CustomSection(custom) = &payload
            && custom.name() != "core"
        {
            section(&mut bytes, SECTION_CUSTOM, &whole[custom.range()]);
        }
    }
    Ok(bytes)
}

fn memory_type<T: 'static>(bytes: &mut Vec<u8>, memory: &Memory, store: &Store<T>) {
    let ty = memory.ty(store);
    let has_maximum = u8::from(ty.maximum().is_some());
    let is_64 = u8::from(ty.is_64());
    bytes.push(has_maximum | is_64 << 2);
    unsigned(bytes, memory.size(store));
    if let Some(maximum) = ty.maximum() {
        unsigned(bytes, maximum);
    }
}

/// A global with its value; a reference is null.
fn global_of(bytes: &mut Vec<u8>, ty: &ValType, mutability: Mutability, value: Option<Val>) {
    let heap_type = |ty: &HeapType| match ty.top() {
        HeapType::Func => 0x70,
        HeapType::Extern => 0x6f,
        HeapType::Exn => 0x69,
        _ => 0x6e,
    };
    let code = match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        ValType::V128 => 0x7b,
        ValType::Ref(reference) => heap_type(reference.heap_type()),
    };
    bytes.extend([code, u8::from(mutability == Mutability::Var)]);
    match value {
        Some(Val::I32(value)) => constant(bytes, 0x41, value.into()),
        Some(Val::I64(value)) => constant(bytes, 0x42, value),
        Some(Val::F32(bits)) => {
            bytes.push(0x43);
            bytes.extend(bits.to_le_bytes());
        }
        Some(Val::F64(bits)) => {
            bytes.push(0x44);
            bytes.extend(bits.to_le_bytes());
        }
        Some(Val::V128(value)) => {
            bytes.extend([0xfd, 0x0c]);
            bytes.extend(value.as_u128().to_le_bytes());
        }
        _ => bytes.extend([0xd0, code]),
    }
    bytes.push(0x0b);
}

fn segment_header(memory: usize, is_64: bool, piece: &Range<usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match memory {
        0 => bytes.push(0),
        number => {
            bytes.push(2);
            unsigned(&mut bytes, number as u64);
        }
    }
    match is_64 {
        true => constant(&mut bytes, 0x42, piece.start as i64),
        // Addresses are taken as unsigned, constants are written as signed.
        false => constant(&mut bytes, 0x41, i64::from(piece.start as u32 as i32)),
    }
    bytes.push(0x0b);
    unsigned(&mut bytes, piece.len() as u64);
    bytes
}

fn constant(bytes: &mut Vec<u8>, opcode: u8, mut value: i64) {
    bytes.push(opcode);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let is_last = value == if byte & 0x40 == 0 { 0 } else { -1 };
        bytes.push(if is_last { byte } else { byte | 0x80 });
        if is_last {
            return;
        }
    }
}

fn unsigned(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    unsigned(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    unsigned(bytes, content.len() as u64);
    bytes.extend(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_signed_and_sizes_unsigned() {
        let signed = |value| {
            let mut bytes = Vec::new();
            constant(&mut bytes, 0x41, value);
            bytes
        };
        assert_eq!(signed(0), [0x41, 0]);
        assert_eq!(signed(63), [0x41, 63]);
        assert_eq!(signed(64), [0x41, 0xc0, 0]);
        assert_eq!(signed(-1), [0x41, 0x7f]);
        assert_eq!(signed(-65), [0x41, 0xbf, 0x7f]);
        let mut bytes = Vec::new();
        unsigned(&mut bytes, 128);
        assert_eq!(bytes, [0x80, 1]);
    }

    #[test]
    fn only_what_is_not_zero_is_taken_and_counted() {
        let mut memory = vec![0; 5 * PIECE + 10];
        memory[PIECE + 3] = 1;
        memory[3 * PIECE - 1] = 1;
        memory[5 * PIECE + 9] = 1;
        let mut left = 10_000;
        let pieces = pieces_of(&memory, &mut left);
        assert_eq!(pieces, Some(vec![PIECE..3 * PIECE, 5 * PIECE..5 * PIECE + 10]));
        assert_eq!(left, 10_000 - 2 * PIECE as u64 - 10);
        assert_eq!(pieces_of(&memory, &mut 8191), None);
    }
}
