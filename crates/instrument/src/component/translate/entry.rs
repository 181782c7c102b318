//! What a component exports to be run, and to handle HTTP requests.

use dormouse_model::lowered::Resource;
use wasmtime_environ::component::{Export, ExportIndex, InterfaceType, TypeFuncIndex};

use super::super::plan;
use super::{Reader, Result, found, refuse_async};
use crate::error::{ComponentError, List};

/// The interface whose function a command runs.
const RUN: &str = "wasi:cli/run";
/// The interface whose function handles HTTP requests, and the one that has their types.
const HTTP_HANDLER: &str = "wasi:http/incoming-handler";
const HTTP_TYPES: &str = "wasi:http/types";

impl Reader<'_, '_> {
    /// What `wasi:cli/run` and `wasi:http/incoming-handler` export.
    pub(super) fn entry(&self) -> Result<plan::Entry> {
        let component = &self.translation.component;
        let named = |wanted: &str| {
            let mut exports = component.exports.raw_iter();
            exports.find_map(|(name, (export, _))| (unversioned(name) == wanted).then_some(*export))
        };
        let run = match named(RUN) {
            Some(export) => self.exported(export, "run", |ty| self.is_run(ty).then_some(None))?,
            None => None,
        };
        let serve = match named(HTTP_HANDLER) {
            Some(export) => self.exported(export, "handle", |ty| self.handler(ty).map(Some))?,
            None => None,
        };
        match (run, serve) {
            (Some(run), None) => Ok(plan::Entry::Run(run)),
            (None, Some(serve)) => Ok(plan::Entry::Serve(serve)),
            (Some(run), Some(serve)) => Ok(plan::Entry::Both { run, serve }),
            (None, None) => {
                let exports = component.exports.raw_iter();
                let exports = List(exports.map(|(name, _)| name.to_string()).collect());
                Err(ComponentError::NoRun { exports })
            }
        }
    }

    /// A function of an exported interface. `table_of` says whether a function has the type that is
    /// wanted, and which instance's table has the handles that it is given, if it is given any.
    fn exported(
        &self,
        export: ExportIndex,
        name: &str,
        table_of: impl Fn(TypeFuncIndex) -> Option<Option<u32>>,
    ) -> Result<Option<plan::Exported>> {
        let items = &self.translation.component.export_items;
        let Export::Instance { exports, .. } = &items[export] else {
            return Ok(None);
        };
        let mut functions = exports.raw_iter().filter(|(found, _)| &***found == name);
        let Some((_, (function, _))) = functions.next() else {
            return Ok(None);
        };
        let Export::LiftedFunction { ty, func, options } = &items[*function] else {
            return Ok(None);
        };
        let options = &self.translation.component.options[*options];
        refuse_async(options)?;
        let Some(table) = table_of(*ty) else {
            let text = format!("its `{name}` is not of the type that the interface gives it");
            return Err(ComponentError::Untranslatable(text));
        };
        let post_return = match options.post_return {
            Some(post_return) => Some(self.definition(found(&self.post_returns, &post_return)?)?),
            None => None,
        };
        Ok(Some(plan::Exported {
            function: self.definition(func)?,
            post_return,
            instance: options.instance.as_u32(),
            table: table.unwrap_or(options.instance.as_u32()),
        }))
    }

    /// Whether a function takes nothing and gives a result without values.
    fn is_run(&self, ty: TypeFuncIndex) -> bool {
        let ty = &self.types[ty];
        let results = &self.types[ty.results].types;
        self.types[ty.params].types.is_empty()
            && matches!(&**results, [InterfaceType::Result(result)] if {
                let result = &self.types[*result];
                result.ok.is_none() && result.err.is_none()
            })
    }

    /// The instance that gets the handles of a function which takes a request, and where its
    /// response goes, as the host has them; `None` for a function of another type.
    fn handler(&self, ty: TypeFuncIndex) -> Option<u32> {
        let ty = &self.types[ty];
        let params = &self.types[ty.params].types;
        let [InterfaceType::Own(request), InterfaceType::Own(response)] = **params else {
            return None;
        };
        let (request, response) = (self.handle(request)?, self.handle(response)?);
        let is_host = |resource: &Resource, wanted: &str| {
            matches!(resource, Resource::Host { interface, name } if {
                unversioned(interface) == HTTP_TYPES && name == wanted
            })
        };
        let fits = is_host(&request.resource, "incoming-request")
            && is_host(&response.resource, "response-outparam")
            && request.instance == response.instance
            && self.types[ty.results].types.is_empty();
        fits.then_some(request.instance)
    }
}

/// The name of an interface without its version.
fn unversioned(interface: &str) -> &str {
    interface
        .split_once('@')
        .map_or(interface, |(interface, _)| interface)
}
