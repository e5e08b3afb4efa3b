//! What an instance may use of the machine: memory, tables, instances.
//!
//! | limit              | value                        | why                                                                |
//! |--------------------|------------------------------|--------------------------------------------------------------------|
//! | memory             | [`Policy::memory_limit`](crate::Policy::memory_limit), for all memories together | a leak or a bomb ends in a typed error |
//! | table elements     | 100,000                      | a table holds the functions called through pointers: some hundreds |
//! | instances          | 64                           | a component is a handful of core instances                         |
//! | tables, memories   | 16 each                      | likewise                                                           |
//! | time               | [`Policy::time_limit`](crate::Policy::time_limit), by epoch and by timer | a loop and a wait both end    |
//!
//! Time is checked every [`TICK`]; at each check a computing guest also lets other tasks of its thread run. Fuel is not used: it
//! costs time in every loop, and gives no better limit than the clock.

use std::time::Duration;
use wasmtime::ResourceLimiter;

/// How often a computing guest is looked at.
pub const TICK: Duration = Duration::from_millis(20);

const TABLE_ELEMENTS: usize = 100_000;
const INSTANCES: usize = 64;
const TABLES: usize = 16;
const MEMORIES: usize = 16;

/// The limits of one store. Growth over a limit fails in the guest as it would on a small machine, and is remembered.
pub(crate) struct Limits {
    memory: usize,
    used: usize,
    exceeded: bool,
}

impl Limits {
    pub(crate) fn new(memory: usize) -> Limits {
        Limits { memory, used: 0, exceeded: false }
    }

    /// The limit in bytes, if the guest has asked for more.
    pub(crate) fn exceeded(&self) -> Option<usize> {
        self.exceeded.then_some(self.memory)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.memory {
            self.exceeded = true;
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(TABLE_ELEMENTS).min(TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together_and_an_excess_is_remembered() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(!limits.memory_growing(0, 60, None).unwrap());
        assert_eq!(limits.exceeded(), Some(100));
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(60, 100, None).unwrap());
        assert!(!limits.memory_growing(100, 200, Some(150)).unwrap());
    }
}
