//! The cap on a guest's memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmi::errors::{MemoryError, TableError};
use wasmi_core::LimiterError;
use wasmtime::{ResourceLimiter, Result};

/// What an element of a table costs the host.
const TABLE_ELEMENT_BYTES: u64 = 8;
/// Instances, memories and tables that one guest may have of each: Wasmtime's default.
const STORE_ITEMS_MAX: usize = 10_000;

/// How much a guest may have: what was granted (0: no cap), or what `now` says (null, 0: nothing).
#[derive(Clone, Copy)]
pub struct Cap {
    granted: u64,
    now: *const AtomicU64,
}

// SAFETY: `now` outlives the run by the contract of the grant, and is only read.
unsafe impl Send for Cap {}
unsafe impl Sync for Cap {}

impl Cap {
    pub fn new(granted: u64, now: *const AtomicU64) -> Cap {
        Cap { granted, now }
    }

    pub fn fixed(granted: u64) -> Cap {
        Cap::new(granted, std::ptr::null())
    }

    pub fn bytes(&self) -> u64 {
        // SAFETY: null or valid, see above.
        let now = unsafe { self.now.as_ref() }.map_or(0, |now| now.load(Ordering::Relaxed));
        let bytes = if now == 0 { self.granted } else { now };
        if bytes == 0 { u64::MAX } else { bytes }
    }
}

/// Adds up all linear memories, tables and GC heaps of one guest and refuses what would pass the cap.
/// (Wasmtime's own `StoreLimits` caps each memory for itself.)
pub struct MemoryCap {
    cap: Cap,
    bytes: u64,
    /// The growth that was allowed last: taken back when the machine then refuses it.
    bytes_pending: u64,
    pub bytes_peak: u64,
    /// The sum that the latest refused growth would have made; 0: none was refused.
    pub bytes_refused: u64,
    shared: Option<SharedCap>,
}

/// The cap on the sum of all instances of a server; clones are the same one.
#[derive(Clone)]
pub struct SharedCap(Arc<Mutex<MemoryCap>>);

impl SharedCap {
    pub fn new(cap: Cap) -> SharedCap {
        SharedCap(Arc::new(Mutex::new(MemoryCap::new(cap))))
    }

    pub fn all(&self) -> MutexGuard<'_, MemoryCap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of one instance, given back when it is dropped.
    pub fn part(&self) -> MemoryCap {
        let mut part = MemoryCap::new(Cap::fixed(0));
        part.shared = Some(self.clone());
        part
    }
}

impl Drop for MemoryCap {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.all().bytes -= self.bytes;
        }
    }
}

impl MemoryCap {
    pub fn new(cap: Cap) -> MemoryCap {
        MemoryCap { cap, bytes: 0, bytes_pending: 0, bytes_peak: 0, bytes_refused: 0, shared: None }
    }

    /// Whether `bytes` more would be allowed.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) <= self.cap.bytes()
    }

    /// What is in use.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grow(&mut self, bytes: u64) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let refused = match &self.shared {
            Some(shared) => {
                let mut all = shared.all();
                if all.grow(bytes) { None } else { Some(all.bytes_refused) }
            }
            None => (sum > self.cap.bytes()).then_some(sum),
        };
        if let Some(refused) = refused {
            self.bytes_refused = refused;
            return false;
        }
        self.bytes = sum;
        self.bytes_pending = bytes;
        self.bytes_peak = self.bytes_peak.max(sum);
        true
    }

    fn memory_grows(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        self.bytes_pending = 0;
        // A growth beyond the module's own maximum fails by the rules of WebAssembly, not by ours.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        self.grow(desired.saturating_sub(current) as u64)
    }

    fn table_grows(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        self.bytes_pending = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let elements = desired.saturating_sub(current) as u64;
        self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn take_back(&mut self) {
        if self.bytes_pending > 0 {
            if let Some(shared) = &self.shared {
                let mut all = shared.all();
                all.bytes_refused = all.bytes;
                all.bytes -= self.bytes_pending;
            }
            self.bytes_refused = self.bytes;
            self.bytes -= self.bytes_pending;
            self.bytes_pending = 0;
        }
    }
}

impl ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.memory_grows(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.table_grows(current, desired, maximum))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.take_back();
        Ok(())
    }
}

/// The same for Wasmi.
impl wasmi::ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(self.memory_grows(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, _error: &MemoryError) -> Result<(), LimiterError> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(self.table_grows(current, desired, maximum))
    }

    fn table_grow_failed(&mut self, _error: &TableError) -> Result<(), LimiterError> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        STORE_ITEMS_MAX
    }

    fn tables(&self) -> usize {
        STORE_ITEMS_MAX
    }

    fn memories(&self) -> usize {
        STORE_ITEMS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_memories_and_tables() {
        let mut cap = MemoryCap::new(Cap::fixed(1000));
        assert!(cap.memory_growing(0, 500, None).unwrap());
        assert!(cap.memory_growing(0, 300, None).unwrap());
        assert!(!cap.table_growing(0, 26, None).unwrap());
        assert_eq!(cap.bytes_refused, 800 + 26 * 8);
        assert!(cap.table_growing(0, 25, None).unwrap());
        assert_eq!(cap.bytes_peak, 1000);
    }

    #[test]
    fn follows_what_the_granter_says_now() {
        let now = AtomicU64::new(0);
        let mut cap = MemoryCap::new(Cap::new(1000, &now));
        for (says, to, fits) in [(0, 1000, true), (1100, 1100, true), (500, 1101, false)] {
            now.store(says, Ordering::Relaxed);
            assert_eq!(cap.memory_growing(cap.bytes() as usize, to, None).unwrap(), fits);
        }
    }

    #[test]
    fn own_maximum_is_no_refusal() {
        let mut cap = MemoryCap::new(Cap::fixed(1000));
        assert!(!cap.memory_growing(100, 300, Some(200)).unwrap());
        assert_eq!(cap.bytes_refused, 0);
    }

    #[test]
    fn parts_share_one_cap_and_give_back() {
        let shared = SharedCap::new(Cap::fixed(1000));
        let (mut one, mut other) = (shared.part(), shared.part());
        assert!(one.memory_growing(0, 600, None).unwrap());
        assert!(!other.memory_growing(0, 500, None).unwrap());
        assert_eq!((other.bytes_refused, shared.all().bytes_refused), (1100, 1100));
        assert!(other.memory_growing(0, 400, None).unwrap());
        other.memory_grow_failed(wasmtime::format_err!("no address space")).unwrap();
        assert!(shared.all().has_room_for(400));
        drop(one);
        // One at a time: two guards in one statement would wait for each other.
        assert_eq!(shared.all().bytes(), 0);
        assert_eq!(shared.all().bytes_peak, 1000);
        assert!(other.memory_growing(0, 1000, None).unwrap());
    }

    #[test]
    fn growth_that_the_machine_refuses_is_taken_back() {
        let mut cap = MemoryCap::new(Cap::fixed(0));
        assert!(cap.memory_growing(0, 64, None).unwrap());
        assert!(cap.memory_growing(64, 1 << 40, None).unwrap());
        cap.memory_grow_failed(wasmtime::format_err!("no address space")).unwrap();
        assert_eq!(cap.bytes_refused, 1 << 40);
        assert_eq!(cap.bytes, 64);
    }
}
