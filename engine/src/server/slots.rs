//! Slots for the instances of a server: address space that is set aside, so that making an instance maps nothing.

use crate::provider::Settings;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result,
};

/// What a 32-bit memory can be at most, and what artifacts expect a slot to hold.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Below this, slots are not worth their restrictions.
const SLOTS_MIN: u32 = 8;
/// A component is several core modules, and linked ones have several memories and tables.
const CORE_INSTANCES_PER_SLOT: u32 = 32;
const MEMORIES_PER_INSTANCE: u32 = 2;
const TABLES_PER_SLOT: u32 = 2;
/// A request holds one stack while its guest waits in the middle of a call, and an instance that is made ahead another. One
/// for each so many instances is left for composed components of WASI 0.3, whose parts can wait so one for the other.
/// Each costs a start one system call and the kernel two mappings, for its guard page.
const STACKS_SPARE_SHARE: u32 = 4;
const TABLE_ELEMENTS_MAX: usize = 256 * 1024;
const INSTANCE_BYTES_MAX: usize = 16 << 20;
/// What of a memory and of a table is set to zero by hand instead of being given back to the kernel and faulted in
/// again.
const MEMORY_RESIDENT_BYTES: usize = 256 * 1024;
const TABLE_RESIDENT_BYTES: usize = 16 * 1024;

/// An engine with slots for `settings.instances_max` instances, or as many as the machine has address space for.
pub fn engine(config: &Config, settings: &Settings) -> Result<Engine> {
    let mut slots = settings.instances_max.saturating_mul(MEMORIES_PER_INSTANCE);
    while settings.instances_max > 0 && slots >= SLOTS_MIN {
        let mut config = config.clone();
        let strategy = InstanceAllocationStrategy::Pooling(pool(slots, settings));
        config.allocation_strategy(strategy);
        if let Ok(engine) = Engine::new(&config) {
            return Ok(engine);
        }
        slots /= 2;
    }
    Engine::new(config)
}

fn pool(slots: u32, settings: &Settings) -> PoolingAllocationConfig {
    let memory_bytes_max = match settings.instance_memory_bytes_max {
        0 => MEMORY_BYTES_MAX,
        bytes => bytes.min(MEMORY_BYTES_MAX),
    };
    let requests = settings.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_PER_SLOT))
        .total_memories(slots)
        .total_gc_heaps(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots.min(requests.saturating_add(requests / STACKS_SPARE_SHARE)))
        .max_tables_per_module(16)
        .max_memories_per_module(16)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(usize::try_from(memory_bytes_max).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
