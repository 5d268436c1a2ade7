//! Linking components before they are compiled, by the rules of `wac plug`: what the socket imports and a plug
//! exports is connected; all else that they import stays imported.
//!
//! Stricter than that tool, which passes over what does not fit: a plug that gives nothing, or something of
//! another type than the socket wants, is an error, for its user named it.

use crate::failure::{Code, Failure};

/// See `skiff_link`.
#[cfg(not(feature = "compiler"))]
pub fn link(_socket: &[u8], _plugs: &[&[u8]]) -> Result<Vec<u8>, Failure> {
    let text = "this build has no compiler and cannot link components";
    Err(Failure::new(Code::Unsupported, text))
}

#[cfg(feature = "compiler")]
pub use with_compiler::link;

#[cfg(feature = "compiler")]
mod with_compiler {
    use super::{Code, Failure};
    use crate::inspect::{self, Kind};
    use std::error::Error;
    use wac_graph::types::{Package, SubtypeChecker, are_semver_compatible};
    use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

    /// How many plugs one socket may have.
    const PLUGS_MAX: usize = 64;
    /// The largest sum of what is linked; the agent's limit for a module.
    const BYTES_MAX: usize = 1 << 30;

    fn invalid(text: String) -> Failure {
        Failure::new(Code::Invalid, text.replace('\n', " "))
    }

    /// See `skiff_link`.
    pub fn link(socket: &[u8], plugs: &[&[u8]]) -> Result<Vec<u8>, Failure> {
        check_sizes(socket, plugs)?;
        let mut graph = CompositionGraph::new();
        let socket = register(&mut graph, "the socket", "socket", socket)?;
        let instance = graph.instantiate(socket);
        for (number, plug) in (1..).zip(plugs) {
            let plug =
                register(&mut graph, &format!("plug {number}"), &format!("plug{number}"), plug)?;
            connect(&mut graph, socket, instance, number, plug)?;
        }
        export_all(&mut graph, socket, instance)?;
        let linked = graph.encode(EncodeOptions::default());
        linked.map_err(|error| invalid(format!("cannot be linked: {}", chain(&error))))
    }

    fn check_sizes(socket: &[u8], plugs: &[&[u8]]) -> Result<(), Failure> {
        if plugs.is_empty() || plugs.len() > PLUGS_MAX {
            let count = plugs.len();
            return Err(invalid(format!("{count} plugs, but there must be 1 to {PLUGS_MAX}")));
        }
        let sum = plugs.iter().fold(socket.len(), |sum, plug| sum.saturating_add(plug.len()));
        if sum > BYTES_MAX {
            let text = format!("{sum} bytes together, but at most {BYTES_MAX} can be linked");
            return Err(invalid(text));
        }
        Ok(())
    }

    fn register(
        graph: &mut CompositionGraph,
        who: &str,
        name: &str,
        wasm: &[u8],
    ) -> Result<PackageId, Failure> {
        let named = |error: &str| invalid(format!("{who}: {error}"));
        let found = inspect::inspect_bytes(wasm).map_err(|failure| named(&failure.text))?;
        if found.kind != Kind::Component {
            return Err(named("it is a core module, only components can be linked"));
        }
        let package = Package::from_bytes(&format!("skiff:{name}"), None, wasm, graph.types_mut());
        let package = package.map_err(|error| named(&format!("{error:#}")))?;
        graph.register_package(package).map_err(|error| named(&chain(&error)))
    }

    /// Gives the socket what it imports and the plug exports.
    fn connect(
        graph: &mut CompositionGraph,
        socket: PackageId,
        instance: NodeId,
        number: usize,
        plug: PackageId,
    ) -> Result<(), Failure> {
        let fits = fitting(graph, socket, number, plug)?;
        if fits.is_empty() {
            let list = |names: Vec<&String>| {
                let named: Vec<&str> = names.iter().take(10).map(|name| name.as_str()).collect();
                if named.is_empty() { String::from("nothing") } else { named.join(", ") }
            };
            let types = graph.types();
            let exports = list(types[graph[plug].ty()].exports.keys().collect());
            let imports = list(types[graph[socket].ty()].imports.keys().collect());
            return Err(invalid(format!(
                "plug {number} exports nothing that the socket imports: it exports {exports}, \
                 the socket imports {imports}"
            )));
        }
        let plugged = graph.instantiate(plug);
        for (export, import) in fits {
            let failed =
                |error: &dyn Error| invalid(format!("plug {number}, {export}: {}", chain(error)));
            if graph.get_instantiation_arguments(instance).any(|(name, _)| name == import) {
                let text = "an earlier plug gives it already";
                return Err(invalid(format!("plug {number}, {export}: {text}")));
            }
            let alias = graph.alias_instance_export(plugged, &export);
            let alias = alias.map_err(|error| failed(&error))?;
            graph
                .set_instantiation_argument(instance, &import, alias)
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Pairs of a plug's export and the socket's import: of one name, or of compatible versions.
    fn fitting(
        graph: &CompositionGraph,
        socket: PackageId,
        number: usize,
        plug: PackageId,
    ) -> Result<Vec<(String, String)>, Failure> {
        let types = graph.types();
        let imports = &types[graph[socket].ty()].imports;
        let mut cache = Default::default();
        let mut checker = SubtypeChecker::new(&mut cache);
        let mut fits = Vec::new();
        for (export, exported) in &types[graph[plug].ty()].exports {
            let exact = imports.get_key_value(export);
            let found = exact
                .or_else(|| imports.iter().find(|(name, _)| are_semver_compatible(export, name)));
            let Some((import, imported)) = found else { continue };
            if let Err(error) = checker.is_subtype(*exported, types, *imported, types) {
                return Err(invalid(format!("plug {number}, {export}: {error:#}")));
            }
            fits.push((export.clone(), import.clone()));
        }
        Ok(fits)
    }

    /// What the socket exports the whole exports.
    fn export_all(
        graph: &mut CompositionGraph,
        socket: PackageId,
        instance: NodeId,
    ) -> Result<(), Failure> {
        let names: Vec<String> =
            graph.types()[graph[socket].ty()].exports.keys().cloned().collect();
        for name in names {
            let failed = |error: &dyn Error| invalid(format!("export {name}: {}", chain(error)));
            let alias = graph.alias_instance_export(instance, &name);
            let alias = alias.map_err(|error| failed(&error))?;
            graph.export(alias, &name).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// An error and its causes in one line.
    fn chain(error: &dyn Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}
