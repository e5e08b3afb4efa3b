//! `wasi:sockets`, imported and not given.
//!
//! Interpreters of other languages are built on a C library that imports sockets, whether the program uses them or not. A plugin that
//! calls none has to load all the same; one that does call them gets a trap, which ends its session. No code of a socket is linked.

use crate::instance::State;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

/// The package, as imports begin with it.
pub(super) const PACKAGE: &str = "wasi:sockets/";

/// Something that stands for each of the package's resources; none is ever made.
struct Nothing;

/// Gives every function of `wasi:sockets` that the component imports a body that traps.
pub(super) fn trap(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    let mut elsewhere = Vec::new();
    for (name, import) in ty.imports(engine) {
        if let (false, ComponentItem::ComponentInstance(instance)) = (name.starts_with(PACKAGE), import.ty) {
            elsewhere.extend(instance.exports(engine).filter_map(|(_, export)| resource(export.ty)));
        }
    }
    for (name, import) in ty.imports(engine).filter(|(name, _)| name.starts_with(PACKAGE)) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let mut given = linker.instance(name)?;
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{name}#{item}");
                    given.func_new(item, move |_, _, _, _| {
                        Err(wasmtime::format_err!("{called}: this host has no sockets"))
                    })?;
                }
                // A stream or a pollable is what wasi:io says that it is.
                ComponentItem::Resource(ty) if !elsewhere.contains(&ty) => {
                    given.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn resource(item: ComponentItem) -> Option<ResourceType> {
    match item {
        ComponentItem::Resource(ty) => Some(ty),
        _ => None,
    }
}
