//! What a module is and what it wants, read from its bytes or from its loaded artifact.

use crate::component_wasi;
use crate::core_http;
use crate::core_wasi;
use crate::failure::{Code, Failure};
use crate::pod;
use crate::provider::{Purpose, Runtime};
use wasmparser::{ComponentTypeRef, Encoding, ExternalKind, Parser, Payload, TypeRef};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, ExternType, Module};

/// How many missing imports an error names.
const MISSING_NAMED_MAX: usize = 10;
/// How many imports or exports an inspection lists; a module may have a million.
const NAMES_MAX: usize = 10_000;
/// Other page sizes are a proposal that is off.
const PAGE_BYTES: u64 = 65_536;

pub const HAS_START: u32 = 1 << 0;
pub const HAS_INITIALIZE: u32 = 1 << 1;
pub const HAS_RUN: u32 = 1 << 2;
pub const HAS_HTTP_02: u32 = 1 << 3;
pub const HAS_HTTP_03: u32 = 1 << 4;
pub const HANDLES_STOP: u32 = 1 << 5;
pub const USES_SOCKETS: u32 = 1 << 6;
pub const HAS_RUN_03: u32 = 1 << 7;
pub const USES_HTTP: u32 = 1 << 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Core = 1,
    Component = 2,
}

/// An import: of core modules module and name, of components the interface alone.
#[derive(Debug)]
struct Import {
    module: String,
    name: Option<String>,
    /// A function (core) or an instance (component): all that a host here can provide.
    providable: bool,
}

impl Import {
    fn line(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {}", one_line(&self.module), one_line(name)),
            None => one_line(&self.module),
        }
    }
}

/// The contents of `skiff_inspection`.
#[derive(Debug)]
pub struct Inspection {
    pub kind: Kind,
    imports: Vec<Import>,
    exports: Vec<String>,
    /// Exports that are functions (core) or instances and functions (component).
    callable: Vec<String>,
    pub memory_bytes_min: u64,
}

impl Inspection {
    fn new(kind: Kind) -> Inspection {
        Inspection {
            kind,
            imports: Vec::new(),
            exports: Vec::new(),
            callable: Vec::new(),
            memory_bytes_min: 0,
        }
    }

    fn import(&mut self, module: &str, name: Option<&str>, providable: bool) {
        let name = name.map(str::to_owned);
        self.imports.push(Import { module: module.to_owned(), name, providable });
    }

    fn export(&mut self, name: &str, callable: bool) {
        self.exports.push(name.to_owned());
        if callable {
            self.callable.push(name.to_owned());
        }
    }

    /// The text of `skiff_inspection.imports`.
    pub fn import_lines(&self) -> String {
        let lines: Vec<String> = self.imports.iter().take(NAMES_MAX).map(Import::line).collect();
        lines.join("\n")
    }

    /// The text of `skiff_inspection.exports`.
    pub fn export_lines(&self) -> String {
        let lines: Vec<String> =
            self.exports.iter().take(NAMES_MAX).map(|name| one_line(name)).collect();
        lines.join("\n")
    }

    /// 0 none, else the minor version of the highest WASI that a name speaks of.
    pub fn wasi(&self) -> u32 {
        let imports = self.imports.iter().map(|import| import.module.as_str());
        let level =
            |name: &str| match name.split_once('@') {
                _ if self.kind == Kind::Core => u32::from(name == core_wasi::MODULE),
                Some((name, version)) if name.starts_with("wasi:") => {
                    if version.starts_with("0.3.") { 3 } else { 2 }
                }
                _ => 0,
            };
        imports.chain(self.exports.iter().map(String::as_str)).map(level).max().unwrap_or(0)
    }

    /// The bits of `skiff_inspection.flags`.
    pub fn flags(&self) -> u32 {
        let mut flags = 0;
        for name in &self.callable {
            flags |= match self.kind {
                Kind::Core if name == "_start" => HAS_START,
                Kind::Core if name == "_initialize" => HAS_INITIALIZE,
                Kind::Component if name.starts_with("wasi:cli/run@0.2.") => HAS_RUN,
                Kind::Component if name.starts_with("wasi:cli/run@0.3.") => HAS_RUN_03,
                Kind::Component if name.starts_with("wasi:http/incoming-handler@0.2.") => {
                    HAS_HTTP_02
                }
                Kind::Component if name.starts_with("wasi:http/handler@0.3.") => HAS_HTTP_03,
                _ => 0,
            };
        }
        for import in &self.imports {
            let interface = import.module.split('@').next().unwrap_or_default();
            flags |= match (self.kind, interface, import.name.as_deref()) {
                (Kind::Core, pod::MODULE, Some(pod::TERMINATING)) => HANDLES_STOP,
                (Kind::Component, pod::LIFECYCLE, _) => HANDLES_STOP,
                // Interfaces with a function that makes a socket; all others only take one.
                (Kind::Component, "wasi:sockets/tcp-create-socket", _)
                | (Kind::Component, "wasi:sockets/udp-create-socket", _)
                | (Kind::Component, "wasi:sockets/ip-name-lookup", _)
                | (Kind::Component, "wasi:sockets/types", _) => USES_SOCKETS,
                (Kind::Component, "wasi:http/outgoing-handler", _)
                | (Kind::Component, "wasi:http/client", _)
                | (Kind::Core, core_http::MODULE, _) => USES_SOCKETS | USES_HTTP,
                _ => 0,
            };
        }
        flags
    }

    /// What an engine for it is made for.
    pub fn purpose(&self) -> Purpose {
        let flags = self.flags();
        let is_command = flags & (HAS_RUN | HAS_RUN_03) != 0;
        if flags & (HAS_HTTP_02 | HAS_HTTP_03) != 0 && !is_command {
            Purpose::Server
        } else if self.kind == Kind::Component && self.wasi() == 3 {
            Purpose::Concurrent
        } else {
            Purpose::Command
        }
    }

    /// Fails when the runtime lacks one of the imports, and names them.
    pub fn check_imports(&self, runtime: Runtime) -> Result<(), Failure> {
        if runtime == Runtime::Wasmi && self.kind == Kind::Component {
            let text = "wasmi runs core modules only, and this is a component";
            return Err(Failure::new(Code::Unsupported, text));
        }
        let provided = |import: &Import| match &import.name {
            Some(name) => core_wasi::provides(&import.module, name),
            None => component_wasi::provides(&import.module),
        };
        let missing: Vec<&Import> =
            self.imports.iter().filter(|import| !import.providable || !provided(import)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let more = match missing.len().saturating_sub(MISSING_NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<String> =
            missing.iter().take(MISSING_NAMED_MAX).map(|import| import.line()).collect();
        let kind = if self.kind == Kind::Core { "module" } else { "component" };
        let text = format!("the {kind} needs imports that nobody provides: {}", named.join(", "));
        // As those of WasmEdge, which has its own in WASI's module.
        let is_socket =
            |import: &&Import| import.name.as_ref().is_some_and(|name| name.starts_with("sock_"));
        let remedy = match missing.iter().any(is_socket) {
            true => "; core modules have no sockets: build it as a component",
            false => "",
        };
        Err(Failure::new(Code::Unsupported, text + &more + remedy))
    }
}

/// Names are a stranger's: they may hold line breaks and be long.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

/// Reads the outermost imports and exports of a Wasm binary; function bodies are neither read nor checked.
pub fn inspect_bytes(wasm: &[u8]) -> Result<Inspection, Failure> {
    let broken = |error: wasmparser::BinaryReaderError| {
        Failure::new(Code::Invalid, format!("not a valid Wasm module: {error}"))
    };
    if !wasm.starts_with(b"\0asm") {
        let text = format!("not a Wasm module: {}", describe_stranger(wasm));
        return Err(Failure::new(Code::Invalid, text));
    }
    let mut inspection = Inspection::new(Kind::Core);
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(broken)?;
        match &payload {
            Payload::Version { encoding, .. } if depth == 0 => {
                if *encoding == Encoding::Component {
                    inspection.kind = Kind::Component;
                }
                depth += 1;
            }
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ if depth == 1 => inspect_payload(&mut inspection, payload).map_err(broken)?,
            _ => {}
        }
    }
    Ok(inspection)
}

fn inspect_payload(
    inspection: &mut Inspection,
    payload: Payload<'_>,
) -> Result<(), wasmparser::BinaryReaderError> {
    match payload {
        Payload::ImportSection(imports) => {
            for import in imports.into_imports() {
                let import = import?;
                let providable = matches!(import.ty, TypeRef::Func(_));
                inspection.import(import.module, Some(import.name), providable);
            }
        }
        Payload::MemorySection(memories) => {
            for memory in memories {
                let memory = memory?;
                let bytes = memory.initial.saturating_mul(PAGE_BYTES);
                inspection.memory_bytes_min = inspection.memory_bytes_min.max(bytes);
            }
        }
        Payload::ExportSection(exports) => {
            for export in exports {
                let export = export?;
                inspection.export(export.name, export.kind == ExternalKind::Func);
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                let import = import?;
                // A type that equals another is no demand on the host.
                if !matches!(import.ty, ComponentTypeRef::Type(wasmparser::TypeBounds::Eq(_))) {
                    let providable = matches!(import.ty, ComponentTypeRef::Instance(_));
                    inspection.import(import.name.name, None, providable);
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                inspection.export(export?.name.name, true);
            }
        }
        _ => {}
    }
    Ok(())
}

/// What bytes look like that are not Wasm, so that a user sees what was pushed by mistake.
fn describe_stranger(bytes: &[u8]) -> &'static str {
    const MAGICS: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "it looks like gzip data (an image layer?)"),
        (b"\x28\xb5\x2f\xfd", "it looks like zstd data (an image layer?)"),
        (b"PK\x03\x04", "it looks like a zip archive"),
        (b"\x7fELF", "it looks like a native program (ELF)"),
        (b"#!", "it looks like a script"),
        (b"(module", "it looks like Wasm text, which has to be assembled first"),
        (b"(component", "it looks like Wasm text, which has to be assembled first"),
        (b"<", "it looks like HTML or XML"),
    ];
    if bytes.is_empty() {
        return "it is empty";
    }
    if let Some((_, text)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return text;
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "it looks like a tar archive (an image layer?)";
    }
    let head = &bytes[..bytes.len().min(256)];
    if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return "it looks like text";
    }
    "it does not begin with the bytes 00 61 73 6d"
}

/// The inspection of a loaded core module.
pub fn inspect_module(module: &Module) -> Inspection {
    let mut inspection = Inspection::new(Kind::Core);
    for import in module.imports() {
        let providable = matches!(import.ty(), ExternType::Func(_));
        inspection.import(import.module(), Some(import.name()), providable);
    }
    for export in module.exports() {
        inspection.export(export.name(), matches!(export.ty(), ExternType::Func(_)));
    }
    let pages = module.resources_required().max_initial_memory_size.unwrap_or(0);
    inspection.memory_bytes_min = pages.saturating_mul(PAGE_BYTES);
    inspection
}

/// The inspection of a loaded component.
pub fn inspect_component(engine: &Engine, component: &Component) -> Inspection {
    let mut inspection = Inspection::new(Kind::Component);
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        if !matches!(import.ty, ComponentItem::Type(_)) {
            let providable = matches!(import.ty, ComponentItem::ComponentInstance(_));
            inspection.import(name, None, providable);
        }
    }
    for (name, _) in ty.exports(engine) {
        inspection.export(name, true);
    }
    inspection
}
