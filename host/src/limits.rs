//! What an instance may use of the machine: memory, tables, instances.
//!
//! | limit              | value                        | why                                                                |
//! |--------------------|------------------------------|--------------------------------------------------------------------|
//! | memory             | [`Policy::memory_limit`](crate::Policy::memory_limit), for all memories together | a leak or a bomb ends in a typed error |
//! | table elements     | 100,000                      | a table holds the functions called through pointers: some hundreds |
//! | instances          | 64                           | a component is a handful of core instances                         |
//! | tables, memories   | 16 each                      | likewise                                                           |
//! | data in one call   | as much as memory            | what the host copies for it: texts that overlap in the guest would grow in the host |
//! | handles            | 65,536                       | streams, files, requests, timers: a transfer has some dozens       |
//! | requests at once   | 1,024                        | the plugin's own option `max_io_allowed` ends at 1,000             |
//! | headers            | 128 KiB a request            | wasmtime's own limit                                               |
//! | progress           | 20 a second, after 20 at once | the contract's ten a second, with room; what is over is not told, and gets the latest answer |
//! | texts              | 64 KiB each, in errors and progress | an error is for people                                      |
//! | a plugin's file    | [`PLUGIN_SIZE`]              | with an interpreter in it one is 10 to 40 MB, and compiling takes a second for each |
//! | a manifest         | [`MANIFEST_SIZE`]            | read before anything of the plugin is trusted                      |
//! | what a manifest may ask for | [`MOST_MEMORY`], [`MOST_TIME`] | what is above is taken as that                       |
//! | time               | [`Policy::time_limit`](crate::Policy::time_limit), by epoch and by timer | a loop and a wait both end    |
//!
//! Time is checked every [`TICK`]; at each check a computing guest also lets other tasks of its thread run. Fuel is not used: it
//! costs time in every loop, and gives no better limit than the clock.

use std::time::Duration;
use wasmtime::ResourceLimiter;

/// How often a computing guest is looked at.
pub const TICK: Duration = Duration::from_millis(20);

/// Bytes of a plugin's file. It is looked at and compiled whole, in memory, before anything of it runs.
pub const PLUGIN_SIZE: u64 = 64 << 20;

/// Bytes of a plugin's manifest.
pub const MANIFEST_SIZE: u64 = 64 << 10;

/// Bytes of memory that a manifest can get: all that a plugin of 32 bits can address.
pub const MOST_MEMORY: usize = 4 << 30;

/// Time of a call that a manifest can get: a wait for a job on a full cluster.
pub const MOST_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Streams, files, requests, timers and the like that an instance holds at once.
pub(crate) const HANDLES: usize = 65_536;

/// Requests that an instance has open at once.
pub(crate) const OPEN_REQUESTS: usize = 1024;

/// Bytes of each text of an error, and of a report of progress.
pub(crate) const TEXT: usize = 64 << 10;

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

    /// The limit of memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The memory in use in bytes, all memories together.
    pub(crate) fn used(&self) -> usize {
        self.used
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

/// A text cut to [`TEXT`] bytes.
pub(crate) fn shorten(text: &mut String) {
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty module, and one with `count` tables of `elements` each.
    fn module(count: u8, elements: u32) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        if count > 0 {
            let mut number = Vec::new();
            let mut left = elements;
            while left > 0x7f {
                number.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            number.push(left as u8);
            let table: Vec<u8> = [0x70, 0x00].into_iter().chain(number).collect();
            let section: Vec<u8> = std::iter::once(count).chain(table.repeat(usize::from(count))).collect();
            module.extend([4, section.len() as u8]);
            module.extend(section);
        }
        module
    }

    fn instantiate(bytes: &[u8], times: usize) -> wasmtime::Result<()> {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::from_binary(&engine, bytes)?;
        let mut store = wasmtime::Store::new(&engine, Limits::new(1 << 20));
        store.limiter(|limits| limits);
        for _ in 0..times {
            wasmtime::Instance::new(&mut store, &module, &[])?;
        }
        Ok(())
    }

    #[test]
    fn instances_tables_and_their_elements_are_counted() {
        instantiate(&module(0, 0), INSTANCES).unwrap();
        let refused = instantiate(&module(0, 0), INSTANCES + 1).unwrap_err();
        assert!(refused.to_string().contains("instance"), "{refused}");
        instantiate(&module(16, 10), 1).unwrap();
        let refused = instantiate(&module(17, 10), 1).unwrap_err();
        assert!(refused.to_string().contains("table"), "{refused}");
        instantiate(&module(1, 100_000), 1).unwrap();
        let refused = instantiate(&module(1, 100_001), 1).unwrap_err();
        assert!(refused.to_string().contains("table"), "{refused}");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = format!("{}ü", "x".repeat(TEXT - 1));
        shorten(&mut text);
        assert_eq!(text, format!("{}…", "x".repeat(TEXT - 1)));
        let mut short = "ü".to_owned();
        shorten(&mut short);
        assert_eq!(short, "ü");
    }

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
