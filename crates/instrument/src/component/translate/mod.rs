//! Reads a component with Wasmtime's translator, which also makes the adapters between instances.
//! Nothing else names that crate: it calls itself internal, so that its version is pinned.

mod convert;
mod entry;

use std::borrow::Cow;
use std::collections::HashMap;

use dormouse_model::lowered::{self, Handle, Resource};
use wasm_encoder::ValType;
use wasmtime_environ::component::{
    CanonicalOptions, CanonicalOptionsDataModel, ComponentTranslation, ComponentTypes,
    ComponentTypesBuilder, CoreDef, CoreExport, ExportItem, GlobalInitializer, InstantiateModule,
    InterfaceType, LoweredIndex, ResourceIndex, RuntimeImportIndex, RuntimeMemoryIndex,
    RuntimePostReturnIndex, RuntimeReallocIndex, StaticModuleIndex, Trampoline, Translator,
    TypeFuncIndex, TypeResourceTable, TypeResourceTableIndex,
};
use wasmtime_environ::wasmparser::{Validator, WasmFeatures};
use wasmtime_environ::{
    EntityIndex, MemoryIndex, ModuleTranslation, PrimaryMap, ScopeVec, Tunables,
};

use super::plan;
use crate::error::ComponentError;

pub(super) use convert::trap;
use convert::{core_type, encoding, transcode};

type Result<T> = std::result::Result<T, ComponentError>;
type Modules<'a> = PrimaryMap<StaticModuleIndex, ModuleTranslation<'a>>;

/// Reads a valid component.
pub(super) fn translate(component: &[u8]) -> Result<plan::Plan<'_>> {
    // With exceptions, each adapter has code that ends them. Few components have any.
    let features = WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::THREADS
        | WasmFeatures::TAIL_CALL;
    let exceptions = WasmFeatures::EXCEPTIONS | WasmFeatures::LEGACY_EXCEPTIONS;
    match read(component, features) {
        Err(_) => read(component, features | exceptions),
        done => done,
    }
}

fn read(component: &[u8], features: WasmFeatures) -> Result<plan::Plan<'_>> {
    let mut tunables = Tunables::default_u32();
    tunables.concurrency_support = false;
    let mut validator = Validator::new_with_features(features);
    let mut types = ComponentTypesBuilder::new(&validator);
    let adapters = ScopeVec::new();
    let translator = Translator::new(&tunables, &mut validator, &mut types, &adapters);
    let translated = translator.translate(component);
    let (translation, modules) =
        translated.map_err(|error| ComponentError::Untranslatable(format!("{error:#}")))?;
    let handles = types.num_resource_tables();
    let (types, _) = types.finish(&translation.component);
    Reader::new(component, &translation, &types, &modules)?.plan(handles)
}

/// What the translator has made, and tables of what its initializers say.
struct Reader<'a, 'm> {
    component: &'a [u8],
    translation: &'m ComponentTranslation,
    types: &'m ComponentTypes,
    modules: &'m Modules<'m>,
    /// The core instances, each with its module.
    instances: Vec<(StaticModuleIndex, &'m [CoreDef])>,
    lowered: HashMap<LoweredIndex, RuntimeImportIndex>,
    memories: HashMap<RuntimeMemoryIndex, &'m CoreExport<MemoryIndex>>,
    reallocs: HashMap<RuntimeReallocIndex, &'m CoreDef>,
    post_returns: HashMap<RuntimePostReturnIndex, &'m CoreDef>,
    /// The destructors of resources that the component defines.
    destructors: HashMap<ResourceIndex, &'m CoreDef>,
}

impl<'a, 'm> Reader<'a, 'm> {
    fn new(
        component: &'a [u8],
        translation: &'m ComponentTranslation,
        types: &'m ComponentTypes,
        modules: &'m Modules<'m>,
    ) -> Result<Self> {
        let mut reader = Self {
            component,
            translation,
            types,
            modules,
            instances: Vec::new(),
            lowered: HashMap::new(),
            memories: HashMap::new(),
            reallocs: HashMap::new(),
            post_returns: HashMap::new(),
            destructors: HashMap::new(),
        };
        let component = &translation.component;
        for initializer in &component.initializers {
            match initializer {
                GlobalInitializer::InstantiateModule(module, _) => match module {
                    InstantiateModule::Static(module, arguments) => {
                        reader.instances.push((*module, arguments));
                    }
                    InstantiateModule::Import(import, _) => {
                        let (interface, name) = reader.import(*import);
                        let name = match interface.as_str() {
                            lowered::WORLD => name,
                            _ => format!("{interface}/{name}"),
                        };
                        return Err(ComponentError::ImportedModule { name });
                    }
                },
                GlobalInitializer::LowerImport { index, import } => {
                    reader.lowered.insert(*index, *import);
                }
                GlobalInitializer::ExtractMemory(memory) => {
                    reader.memories.insert(memory.index, &memory.export);
                }
                GlobalInitializer::ExtractRealloc(realloc) => {
                    reader.reallocs.insert(realloc.index, &realloc.def);
                }
                GlobalInitializer::ExtractPostReturn(post_return) => {
                    reader
                        .post_returns
                        .insert(post_return.index, &post_return.def);
                }
                GlobalInitializer::Resource(resource) => {
                    if let Some(destructor) = &resource.dtor {
                        let resource = component.resource_index(resource.index);
                        reader.destructors.insert(resource, destructor);
                    }
                }
                // Both belong to functions that are lifted or lowered as `async`.
                GlobalInitializer::ExtractCallback(_) | GlobalInitializer::ExtractTable(_) => {
                    return Err(unexpected("an asynchronous function"));
                }
            }
        }
        Ok(reader)
    }

    fn plan(&self, handles: usize) -> Result<plan::Plan<'a>> {
        let modules = self.modules.values().map(|module| self.module(module.wasm));
        let instances = self.instances.iter().map(|(module, arguments)| {
            let arguments = arguments.iter().map(|argument| self.definition(argument));
            Ok(plan::Instance {
                module: module.as_u32() as usize,
                arguments: arguments.collect::<Result<_>>()?,
            })
        });
        let trampolines = self.translation.trampolines.iter();
        let trampolines = trampolines.map(|(index, trampoline)| {
            let ty = self.translation.component.trampolines[index];
            let ty = self.types[ty].unwrap_func();
            let reference = || unexpected("a reference as an argument");
            let params: Option<_> = ty.params().iter().map(core_type).collect();
            let results: Option<_> = ty.results().iter().map(core_type).collect();
            let (params, results) = params.zip(results).ok_or_else(reference)?;
            self.trampoline(trampoline, params, results)
        });
        Ok(plan::Plan {
            modules: modules.collect(),
            instances: instances.collect::<Result<_>>()?,
            trampolines: trampolines.collect::<Result<_>>()?,
            handles: (0..handles)
                .map(|number| self.handle_type(number))
                .collect(),
            entry: self.entry(),
        })
    }

    /// A module of the component is a part of its bytes. An adapter is not.
    fn module(&self, wasm: &[u8]) -> plan::Module<'a> {
        let start = (wasm.as_ptr() as usize).wrapping_sub(self.component.as_ptr() as usize);
        let within = self.component.get(start..start.wrapping_add(wasm.len()));
        plan::Module {
            wasm: within.map_or_else(|| Cow::Owned(wasm.to_vec()), Cow::Borrowed),
            is_adapter: within.is_none(),
        }
    }

    fn trampoline(
        &self,
        trampoline: &Trampoline,
        params: Vec<ValType>,
        results: Vec<ValType>,
    ) -> Result<plan::Trampoline> {
        let handle = |ty: &TypeResourceTableIndex| {
            self.handle(*ty)
                .ok_or_else(|| internal("a handle of a resource that nobody has"))
        };
        Ok(match trampoline {
            Trampoline::LowerImport {
                index,
                lower_ty,
                options,
            } => {
                let import = *found(&self.lowered, index)?;
                let options = &self.translation.component.options[*options];
                let lower = self.lower(import, *lower_ty, options, params, results)?;
                plan::Trampoline::Lower(lower)
            }
            Trampoline::Transcoder {
                op,
                from,
                from64,
                to,
                to64,
            } => {
                if *from64 || *to64 {
                    return Err(unexpected("a memory with 64-bit addresses"));
                }
                plan::Trampoline::Transcode {
                    transcode: transcode(*op),
                    from: self.memory(*from)?,
                    to: self.memory(*to)?,
                }
            }
            Trampoline::ResourceNew { ty, .. } => plan::Trampoline::ResourceNew(handle(ty)?),
            Trampoline::ResourceRep { ty, .. } => plan::Trampoline::ResourceRep(handle(ty)?),
            Trampoline::ResourceDrop { ty, .. } => {
                let destructor = match &self.types[*ty] {
                    TypeResourceTable::Concrete { ty, .. } => self.destructors.get(ty),
                    TypeResourceTable::Abstract(_) => None,
                };
                let destructor = destructor.map(|function| self.definition(function));
                plan::Trampoline::ResourceDrop(handle(ty)?, destructor.transpose()?)
            }
            other => plan::Trampoline::Adapter(match other {
                Trampoline::ResourceTransferOwn => plan::AdapterCall::TransferOwn,
                Trampoline::ResourceTransferBorrow => plan::AdapterCall::TransferBorrow,
                Trampoline::EnterSyncCall => plan::AdapterCall::EnterCall,
                Trampoline::ExitSyncCall => plan::AdapterCall::ExitCall,
                Trampoline::Trap => plan::AdapterCall::Trap,
                other => return Err(unexpected(&other.symbol_name())),
            }),
        })
    }

    fn lower(
        &self,
        import: RuntimeImportIndex,
        ty: TypeFuncIndex,
        options: &CanonicalOptions,
        params: Vec<ValType>,
        results: Vec<ValType>,
    ) -> Result<plan::Lower> {
        refuse_async(options)?;
        let (interface, name) = self.import(import);
        let CanonicalOptionsDataModel::LinearMemory(model) = options.data_model else {
            return Err(unexpected("values of the garbage collector"));
        };
        let memory = model.memory.map(|memory| self.memory(memory)).transpose()?;
        let mut known = HashMap::new();
        let results_of = self.types[ty].results;
        let mut types = self.types[results_of].types.iter();
        let realloc = match types.any(|ty| self.allocates(*ty, &mut known)) {
            true => {
                let missing = || internal("a result without a function that allocates");
                let realloc = model.realloc.ok_or_else(missing)?;
                Some(self.definition(found(&self.reallocs, &realloc)?)?)
            }
            false => None,
        };
        Ok(plan::Lower {
            interface,
            name,
            instance: options.instance.as_u32(),
            memory,
            realloc,
            encoding: encoding(options.string_encoding),
            params,
            results,
        })
    }

    /// Whether values of this type take memory of their own.
    fn allocates(&self, ty: InterfaceType, known: &mut HashMap<InterfaceType, bool>) -> bool {
        if let Some(known) = known.get(&ty) {
            return *known;
        }
        let types = self.types;
        let parts: Vec<InterfaceType> = match ty {
            InterfaceType::String | InterfaceType::List(_) | InterfaceType::Map(_) => return true,
            InterfaceType::Record(ty) => types[ty].fields.iter().map(|field| field.ty).collect(),
            InterfaceType::Variant(ty) => types[ty].cases.values().filter_map(|ty| *ty).collect(),
            InterfaceType::Tuple(ty) => types[ty].types.to_vec(),
            InterfaceType::Option(ty) => vec![types[ty].ty],
            InterfaceType::Result(ty) => {
                let ty = &types[ty];
                ty.ok.into_iter().chain(ty.err).collect()
            }
            InterfaceType::FixedLengthList(ty) => vec![types[ty].element],
            _ => return false,
        };
        let allocates = parts.into_iter().any(|part| self.allocates(part, known));
        known.insert(ty, allocates);
        allocates
    }

    /// An import's interface, and its name there.
    fn import(&self, import: RuntimeImportIndex) -> (String, String) {
        let component = &self.translation.component;
        let (index, path) = &component.imports[import];
        let (name, _) = &component.import_types[*index];
        match path.is_empty() {
            true => (lowered::WORLD.to_owned(), name.clone()),
            false => (name.clone(), path.join("/")),
        }
    }

    fn memory(&self, memory: RuntimeMemoryIndex) -> Result<plan::Item> {
        let export = (*found(&self.memories, &memory)?).clone();
        self.item(&export.map_index(EntityIndex::Memory))
    }

    fn definition(&self, definition: &CoreDef) -> Result<plan::Definition> {
        Ok(match definition {
            CoreDef::Export(export) => plan::Definition::Item(self.item(export)?),
            CoreDef::InstanceFlags(instance) => plan::Definition::MayLeave(instance.as_u32()),
            CoreDef::Trampoline(index) => plan::Definition::Trampoline(index.as_u32() as usize),
            CoreDef::UnsafeIntrinsic(_) | CoreDef::TaskMayBlock => {
                return Err(unexpected("the state of a task"));
            }
        })
    }

    fn item(&self, export: &CoreExport<EntityIndex>) -> Result<plan::Item> {
        let instance = export.instance.as_u32() as usize;
        let missing = || internal("an export that its instance lacks");
        let entity = match &export.item {
            ExportItem::Index(entity) => *entity,
            ExportItem::Name(name) => {
                let (module, _) = self.instances.get(instance).ok_or_else(missing)?;
                let module = &self.modules[*module].module;
                let atom = module.strings.get_atom(name).ok_or_else(missing)?;
                *module.exports.get(&atom).ok_or_else(missing)?
            }
        };
        let (kind, index) = match entity {
            EntityIndex::Function(index) => (plan::Kind::Function, index.as_u32()),
            EntityIndex::Table(index) => (plan::Kind::Table, index.as_u32()),
            EntityIndex::Memory(index) => (plan::Kind::Memory, index.as_u32()),
            EntityIndex::Global(index) => (plan::Kind::Global, index.as_u32()),
            EntityIndex::Tag(index) => (plan::Kind::Tag, index.as_u32()),
        };
        Ok(plan::Item {
            instance,
            kind,
            index,
        })
    }

    /// The type of the handles to which adapters give this number.
    fn handle_type(&self, number: usize) -> plan::HandleType {
        let index = TypeResourceTableIndex::from_u32(number as u32);
        let TypeResourceTable::Concrete { ty, .. } = &self.types[index] else {
            return plan::HandleType::Abstract;
        };
        let component = &self.translation.component;
        let owner = component.defined_resource_index(*ty);
        let owner = owner.map(|defined| component.defined_resource_instances[defined].as_u32());
        match self.handle(index) {
            Some(handle) => plan::HandleType::Of {
                is_owner: owner == Some(handle.instance),
                handle,
            },
            None => plan::HandleType::Abstract,
        }
    }

    fn handle(&self, index: TypeResourceTableIndex) -> Option<Handle> {
        let TypeResourceTable::Concrete { ty, instance } = &self.types[index] else {
            return None;
        };
        let component = &self.translation.component;
        let resource = match component.defined_resource_index(*ty) {
            Some(defined) => Resource::Own(defined.as_u32()),
            None => {
                let (interface, name) = self.import(component.imported_resources[*ty]);
                Resource::Host { interface, name }
            }
        };
        Some(Handle {
            instance: instance.as_u32(),
            resource,
        })
    }
}

/// The value at a key that the translator has given.
fn found<'v, K: Eq + std::hash::Hash, V>(map: &'v HashMap<K, V>, key: &K) -> Result<&'v V> {
    map.get(key)
        .ok_or_else(|| internal("an option of the canonical ABI is used before it is made"))
}

fn internal(what: &str) -> ComponentError {
    ComponentError::Internal(what.to_owned())
}

/// The error for something of components that the validator has let through and dormouse does not
/// know.
fn unexpected(what: &str) -> ComponentError {
    ComponentError::Untranslatable(format!("it uses {what}, which dormouse does not know"))
}

fn refuse_async(options: &CanonicalOptions) -> Result<()> {
    match options.async_ || options.callback.is_some() {
        true => Err(unexpected(
            "a function that is lifted or lowered as `async`",
        )),
        false => Ok(()),
    }
}
