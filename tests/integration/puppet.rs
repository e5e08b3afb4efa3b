//! Plugins that misbehave: of the right contract, every function of them doing the same thing.

use wasm_encoder::{CodeSection, Function, Instruction, Module, RawSection};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

/// What every exported function does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Act {
    /// Traps.
    Trap,
    /// Loops for ever.
    Loop,
    /// Asks for 640 MiB, then traps.
    Hoard,
}

/// A component of this world that does nothing but that.
pub(crate) fn component(resolve: &Resolve, world: WorldId, act: Act) -> Vec<u8> {
    let mut module = rewrite(&dummy_module(resolve, world, ManglingAndAbi::Standard32), act);
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default().module(&module).expect("a module");
    encoder.encode().expect("a component")
}

/// The contract's folder.
pub(crate) fn contract() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(folder).expect("the contract");
    let world = resolve.select_world(&[package], Some("plugin")).expect("its world");
    (resolve, world)
}

/// Another contract's world.
pub(crate) fn other(text: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("other.wit", text).expect("a package");
    let world = resolve.select_world(&[package], None).expect("its world");
    (resolve, world)
}

fn rewrite(module: &[u8], act: Act) -> Vec<u8> {
    let mut rewritten = Module::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let payload = payload.expect("the dummy module");
        if let wasmparser::Payload::CodeSectionStart { count, .. } = payload {
            let mut code = CodeSection::new();
            for _ in 0..count {
                code.function(&body(act));
            }
            rewritten.section(&code);
        } else if let Some((id, range)) = payload.as_section() {
            rewritten.section(&RawSection { id, data: &module[range] });
        }
    }
    rewritten.finish()
}

fn body(act: Act) -> Function {
    let mut function = Function::new([]);
    match act {
        Act::Trap => {}
        Act::Loop => {
            function.instruction(&Instruction::Loop(wasm_encoder::BlockType::Empty));
            function.instruction(&Instruction::Br(0));
            function.instruction(&Instruction::End);
        }
        Act::Hoard => {
            function.instruction(&Instruction::I32Const(10_240));
            function.instruction(&Instruction::MemoryGrow(0));
            function.instruction(&Instruction::Drop);
        }
    }
    function.instruction(&Instruction::Unreachable);
    function.instruction(&Instruction::End);
    function
}
