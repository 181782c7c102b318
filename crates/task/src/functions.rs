//! Host functions of the embedding program: asynchronous functions that a guest can call as plain
//! imports. While one runs, the guest is unwound, and its thread is free.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::instrument::HostFunction;
use crate::model::{ValType, Value};

/// A call of a host function, as the function sees it.
#[derive(Debug)]
pub struct HostCall<'a> {
    /// The arguments.
    pub arguments: Vec<Value>,
    /// The guest's memory at the time of the call.
    pub memory: &'a [u8],
}

/// What a host function answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReply {
    /// The result, where the function has one.
    pub result: Option<Value>,
    /// Bytes to write into the guest's memory, each with its address.
    pub writes: Vec<(u32, Vec<u8>)>,
}

impl HostReply {
    /// A reply with a result and nothing else.
    pub fn value(result: Value) -> Self {
        Self {
            result: Some(result),
            writes: Vec::new(),
        }
    }
}

/// The future of a host function. It must not borrow from the call.
pub type HostFuture = Pin<Box<dyn Future<Output = Result<HostReply, String>> + Send>>;

type Start = Arc<dyn Fn(HostCall<'_>) -> HostFuture + Send + Sync>;

/// One registered function.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) ty: HostFunction,
    pub(crate) start: Start,
}

/// The host functions that guests can import, by module and name.
#[derive(Clone, Default)]
pub struct HostFunctions {
    by_name: HashMap<(String, String), Registered>,
}

impl HostFunctions {
    /// Adds an asynchronous function of type `(params) -> results`, with at most one result.
    ///
    /// The future runs on the caller's tokio runtime. If the task is suspended to a snapshot while
    /// it runs, it is dropped, and the function is called again with the same arguments at resume:
    /// what it does should bear being done twice.
    pub fn add<F, R>(
        &mut self,
        module: &str,
        name: &str,
        params: &[ValType],
        results: &[ValType],
        function: F,
    ) where
        F: Fn(HostCall<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<HostReply, String>> + Send + 'static,
    {
        let registered = Registered {
            ty: HostFunction {
                params: params.to_vec(),
                results: results.to_vec(),
                blocks: true,
            },
            start: Arc::new(move |call| Box::pin(function(call))),
        };
        self.by_name
            .insert((module.to_string(), name.to_string()), registered);
    }

    /// Names and types in a fixed order: what an instrumentation depends on.
    pub fn types(&self) -> std::collections::BTreeMap<&(String, String), &HostFunction> {
        self.by_name.iter().map(|(name, f)| (name, &f.ty)).collect()
    }

    /// The function of this name, if one was added.
    pub(crate) fn get(&self, module: &str, name: &str) -> Option<&Registered> {
        self.by_name.get(&(module.to_string(), name.to_string()))
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// A raw argument or result as a value of its type.
pub fn from_bits(ty: ValType, bits: u64) -> Value {
    match ty {
        ValType::I64 => Value::I64(bits),
        ValType::F32 => Value::F32(bits as u32),
        ValType::F64 => Value::F64(bits),
        _ => Value::I32(bits as u32),
    }
}

/// The raw bits of a value.
pub fn to_bits(value: Value) -> u64 {
    match value {
        Value::I32(bits) | Value::F32(bits) => u64::from(bits),
        Value::I64(bits) | Value::F64(bits) => bits,
        Value::V128(_) | Value::FuncRef(_) | Value::NullExtern => 0,
    }
}
