//! What the sandbox costs before the first request: size, load, instantiate, one call. Prints medians.
//!
//! `cargo run --release -p aiida-firecrest-host --example figures`

use std::time::{Duration, Instant};

use aiida_firecrest_host::{CodeCache, Engine, Plugin, Result};

/// The middle one of several times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let compile = Instant::now();
    let engine = Engine::new(&CodeCache::Off)?;
    let plugin = Plugin::built_in(&engine)?;
    let compiled = compile.elapsed();
    println!("component     {} bytes", plugin.inspection().size);
    println!("compiled      {compiled:.1?}");

    let folder = std::env::temp_dir().join(format!("aiida-firecrest-figures-{}", std::process::id()));
    let mut loads = Vec::new();
    for _ in 0..6 {
        let start = Instant::now();
        let engine = Engine::new(&CodeCache::Folder(folder.clone()))?;
        Plugin::built_in(&engine)?;
        loads.push(start.elapsed());
    }
    // The first one filled the cache.
    loads.remove(0);
    let _ = std::fs::remove_dir_all(&folder);
    println!("from cache    {:.1?}", median(loads));

    let mut calls = Vec::new();
    for _ in 0..101 {
        let start = Instant::now();
        plugin.describe().await?;
        calls.push(start.elapsed());
    }
    println!("instantiated, one call made, dropped  {:.1?}", median(calls));
    Ok(())
}
