//! The functions that are offered, against the text of the interfaces.

use std::collections::BTreeMap;
use std::path::Path;

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function as WitFunction, Handle, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner,
    WorldItem,
};

use crate::p2::Function;
use crate::p2::host_type::HostType;
use dormouse_model::ValType;

/// The interfaces that a command or a proxy imports.
struct World {
    resolve: Resolve,
    interfaces: Vec<wit_parser::InterfaceId>,
}

impl World {
    /// The interfaces of these worlds: package and name of each.
    fn of(worlds: &[(&str, &str)]) -> Self {
        let mut resolve = Resolve::new();
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
        resolve.push_dir(text).expect("the text of the interfaces");
        let mut interfaces = Vec::new();
        for (package, name) in worlds {
            let mut packages = resolve.packages.iter();
            let package = packages.find(|(_, found)| found.name.name == *package);
            let (package, _) = package.expect("a package");
            let world = resolve.select_world(&[package], Some(name));
            let world = &resolve.worlds[world.expect("a world of the package")];
            for item in world.imports.values() {
                match item {
                    WorldItem::Interface { id, .. } if interfaces.contains(id) => {}
                    WorldItem::Interface { id, .. } => interfaces.push(*id),
                    other => panic!("{name} imports {other:?}"),
                }
            }
        }
        Self {
            resolve,
            interfaces,
        }
    }

    fn command() -> Self {
        Self::of(&[("cli", "command")])
    }

    fn proxy() -> Self {
        Self::of(&[("http", "proxy")])
    }

    fn all() -> Self {
        Self::of(&[("cli", "command"), ("http", "proxy")])
    }

    /// All functions, by interface without version and name.
    fn functions(&self) -> BTreeMap<(String, String), &WitFunction> {
        let mut all = BTreeMap::new();
        for id in &self.interfaces {
            for (name, function) in &self.resolve.interfaces[*id].functions {
                all.insert((self.interface(*id), name.clone()), function);
            }
        }
        all
    }

    /// All resources, as `HostType` writes them.
    fn resources(&self) -> Vec<String> {
        let mut all = Vec::new();
        for id in &self.interfaces {
            for ty in self.resolve.interfaces[*id].types.values() {
                if let TypeDefKind::Resource = self.resolve.types[*ty].kind {
                    all.push(self.resource(*ty));
                }
            }
        }
        all.sort();
        all
    }

    fn interface(&self, id: wit_parser::InterfaceId) -> String {
        let name = self.resolve.id_of(id).expect("an interface with a name");
        name.split('@').next().unwrap_or_default().into()
    }

    /// The definition of a type, behind all of its other names.
    fn definition(&self, id: TypeId) -> (TypeId, &TypeDef) {
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(Type::Id(id)) => self.definition(*id),
            _ => (id, &self.resolve.types[id]),
        }
    }

    fn resource(&self, id: TypeId) -> String {
        let (_, ty) = self.definition(id);
        let TypeOwner::Interface(interface) = ty.owner else {
            panic!("{:?} belongs to no interface", ty.name);
        };
        let name = ty.name.as_deref().expect("a resource with a name");
        format!("{}/{name}", self.interface(interface))
    }

    fn describe(&self, ty: &Type) -> String {
        let optional = |ty: &Option<Type>| match ty {
            Some(ty) => self.describe(ty),
            None => "_".into(),
        };
        let id = match ty {
            Type::Id(id) => *id,
            Type::Bool => return "bool".into(),
            Type::U8 => return "u8".into(),
            Type::U16 => return "u16".into(),
            Type::U32 => return "u32".into(),
            Type::U64 => return "u64".into(),
            Type::S32 => return "s32".into(),
            Type::String => return "string".into(),
            other => panic!("{other:?}"),
        };
        match &self.definition(id).1.kind {
            TypeDefKind::Type(ty) => self.describe(ty),
            TypeDefKind::Option(ty) => format!("option<{}>", self.describe(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.describe(ty)),
            TypeDefKind::Result(result) => {
                format!(
                    "result<{}, {}>",
                    optional(&result.ok),
                    optional(&result.err)
                )
            }
            TypeDefKind::Tuple(tuple) => self.tuple(tuple.types.iter()),
            TypeDefKind::Handle(Handle::Own(of)) => format!("own<{}>", self.resource(*of)),
            TypeDefKind::Handle(Handle::Borrow(of)) => format!("borrow<{}>", self.resource(*of)),
            // A resource by its name alone is owned.
            TypeDefKind::Resource => format!("own<{}>", self.resource(id)),
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields
                    .map(|field| format!("{}: {}", lower(&field.name), self.describe(&field.ty)));
                format!("record{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Flags(flags) => {
                let names = flags.flags.iter().map(|flag| flag.name.clone());
                format!("flags{{{}}}", names.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Enum(cases) => {
                let names = cases.cases.iter().map(|case| case.name.clone());
                format!("enum{{{}}}", names.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| match &case.ty {
                    None => lower(&case.name),
                    Some(ty) => format!("{}({})", lower(&case.name), self.describe(ty)),
                });
                format!("variant{{{}}}", cases.collect::<Vec<_>>().join(", "))
            }
            other => panic!("{other:?}"),
        }
    }

    fn tuple<'a>(&self, types: impl Iterator<Item = &'a Type>) -> String {
        let types: Vec<String> = types.map(|ty| self.describe(ty)).collect();
        match types.is_empty() {
            true => "_".into(),
            false => format!("tuple<{}>", types.join(", ")),
        }
    }
}

/// A name without its capitals, such as those of `HTTP-protocol-error`. No two names of one type
/// differ in nothing else: the component model refuses that.
fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn core_types(types: &[WasmType]) -> Vec<ValType> {
    let types = types.iter().map(|ty| match ty {
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
    });
    types.collect()
}

#[test]
fn every_function_of_the_interfaces_is_offered_with_its_type_and_nothing_else() {
    let world = World::all();
    let functions = world.functions();
    for ((interface, name), wit) in &functions {
        let versioned = format!("{interface}@0.2.12");
        let Some(function) = Function::find(&versioned, name) else {
            panic!("{interface}#{name} is not offered");
        };
        let signature = function.signature();
        let params = world.tuple(wit.params.iter().map(|param| &param.ty));
        assert_eq!(signature.described_params, params, "{function:?}");
        let result = wit.result.as_ref();
        let result = result.map_or("_".into(), |ty| world.describe(ty));
        assert_eq!(signature.described_result, result, "{function:?}");
        let core = world.resolve.wasm_signature(AbiVariant::GuestImport, wit);
        assert_eq!(function.params(), core_types(&core.params), "{function:?}");
        assert_eq!(
            function.results(),
            core_types(&core.results),
            "{function:?}"
        );
    }
    for function in Function::all() {
        let key = (function.interface().into(), function.name().into());
        assert!(
            functions.contains_key(&key),
            "{function:?} is of no interface"
        );
    }
    assert_eq!(Function::all().count(), functions.len());
}

/// The entry of a flattened component gives `handle` two handles, and takes nothing.
#[test]
fn a_handler_of_requests_takes_two_handles() {
    let world = World::proxy();
    let mut exports = world.resolve.interfaces.iter();
    let handler = exports.find(|(id, _)| {
        let name = world.resolve.id_of(*id).unwrap_or_default();
        name.starts_with("wasi:http/incoming-handler@")
    });
    let (_, handler) = handler.expect("the interface");
    assert_eq!(handler.functions.len(), 1);
    let handle = &handler.functions["handle"];
    assert_eq!(
        world.tuple(handle.params.iter().map(|param| &param.ty)),
        "tuple<own<wasi:http/types/incoming-request>, own<wasi:http/types/response-outparam>>"
    );
    assert!(handle.result.is_none());
    let core = world
        .resolve
        .wasm_signature(AbiVariant::GuestExport, handle);
    assert_eq!(core_types(&core.params), [ValType::I32; 2]);
    assert!(core.results.is_empty());
}

#[test]
fn every_resource_of_the_interfaces_has_a_type_and_nothing_else() {
    let mut types: Vec<String> = HostType::ALL.iter().map(HostType::to_string).collect();
    types.sort();
    assert_eq!(types, World::all().resources());
}

#[test]
fn the_worlds_are_those_that_are_meant() {
    for (world, interfaces, functions, resources) in [
        (World::command(), 27, 123, 14),
        (World::proxy(), 11, 82, 15),
        (World::all(), 29, 175, 25),
    ] {
        assert_eq!(world.interfaces.len(), interfaces);
        assert_eq!(world.functions().len(), functions);
        assert_eq!(world.resources().len(), resources);
    }
}
