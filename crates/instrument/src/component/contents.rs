//! What a core module imports and defines, as far as merging it with others has to know it.

use wasmparser::{
    CompositeInnerType, ConstExpr, DataSectionReader, ElementSectionReader, FuncType, FunctionBody,
    GlobalSectionReader, KnownCustom, MemorySectionReader, Name, Parser, Payload,
    TableSectionReader, TagSectionReader, TypeRef,
};

use super::plan::Kind;

/// What a core module has.
#[derive(Default)]
pub(super) struct Contents<'a> {
    /// Its function types.
    pub types: Vec<FuncType>,
    /// What each import is.
    pub imports: Vec<TypeRef>,
    /// The positions of the imports of each kind.
    pub imported: [Vec<usize>; Kind::COUNT],
    /// How many items of each kind it defines.
    pub defined: [u32; Kind::COUNT],
    /// The type of each function that it defines.
    pub functions: Vec<u32>,
    pub tables: Option<TableSectionReader<'a>>,
    pub memories: Option<MemorySectionReader<'a>>,
    pub tags: Option<TagSectionReader<'a>>,
    pub globals: Option<GlobalSectionReader<'a>>,
    pub elements: Option<ElementSectionReader<'a>>,
    pub data: Option<DataSectionReader<'a>>,
    pub bodies: Vec<FunctionBody<'a>>,
    pub start: Option<u32>,
    /// Names of functions, in rising order of their indices.
    pub names: Vec<(u32, &'a str)>,
}

impl<'a> Contents<'a> {
    /// Reads a valid module.
    pub fn of(wasm: &'a [u8]) -> wasmparser::Result<Self> {
        let mut contents = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            contents.payload(payload?)?;
        }
        Ok(contents)
    }

    /// How many items of a kind it imports.
    pub fn imported(&self, kind: Kind) -> u32 {
        self.imported[kind as usize].len() as u32
    }

    /// How many items of a kind it defines.
    pub fn defined(&self, kind: Kind) -> u32 {
        self.defined[kind as usize]
    }

    /// How many element segments it has.
    pub fn elements(&self) -> u32 {
        self.elements
            .as_ref()
            .map_or(0, |elements| elements.count())
    }

    /// How many data segments it has.
    pub fn data(&self) -> u32 {
        self.data.as_ref().map_or(0, |data| data.count())
    }

    fn payload(&mut self, payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => self.types(section)?,
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let ty = import?.ty;
                    self.imported[kind(ty) as usize].push(self.imports.len());
                    self.imports.push(ty);
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = section.into_iter().collect::<Result<_, _>>()?;
                self.defined[Kind::Function as usize] = self.functions.len() as u32;
            }
            Payload::TableSection(section) => {
                self.defined[Kind::Table as usize] = section.count();
                self.tables = Some(section);
            }
            Payload::MemorySection(section) => {
                self.defined[Kind::Memory as usize] = section.count();
                self.memories = Some(section);
            }
            Payload::GlobalSection(section) => {
                self.defined[Kind::Global as usize] = section.count();
                self.globals = Some(section);
            }
            Payload::TagSection(section) => {
                self.defined[Kind::Tag as usize] = section.count();
                self.tags = Some(section);
            }
            Payload::ElementSection(section) => self.elements = Some(section),
            Payload::DataSection(section) => self.data = Some(section),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.function_names(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn types(&mut self, section: wasmparser::TypeSectionReader<'a>) -> wasmparser::Result<()> {
        for group in section {
            for ty in group?.into_types() {
                // The validation lets no other types through.
                if let CompositeInnerType::Func(ty) = ty.composite_type.inner {
                    self.types.push(ty);
                }
            }
        }
        Ok(())
    }

    /// A name section only helps people, so that a damaged one is ignored.
    fn function_names(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for subsection in names {
            if let Ok(Name::Function(map)) = subsection {
                let names = map.into_iter().flatten();
                self.names
                    .extend(names.map(|naming| (naming.index, naming.name)));
            }
        }
        self.names.sort_by_key(|(index, _)| *index);
        self.names.dedup_by_key(|(index, _)| *index);
    }
}

fn kind(ty: TypeRef) -> Kind {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => Kind::Function,
        TypeRef::Table(_) => Kind::Table,
        TypeRef::Memory(_) => Kind::Memory,
        TypeRef::Global(_) => Kind::Global,
        TypeRef::Tag(_) => Kind::Tag,
    }
}

/// The number that an expression gives, where it is nothing but that number.
pub(super) fn literal(expression: &ConstExpr<'_>) -> Option<u32> {
    use wasmparser::Operator::{End, I32Const};
    let mut operators = expression.get_operators_reader().into_iter();
    match (operators.next()?.ok()?, operators.next()?.ok()?) {
        (I32Const { value }, End) => Some(value as u32),
        _ => None,
    }
}
