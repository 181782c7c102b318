//! From a call to what answers it.

use dormouse_model::Wait;
use dormouse_model::lowered::Builtin;
use dormouse_model::lowered::allocations::NO_BLOCKS;

use super::call::Call;
use super::handles::Dropped;
use super::host_type::ResourceType;
use super::http::serve;
use super::import::{Import, Operation, Target};
use super::io::{go_on, wait_for};
use super::release::release;
use super::stop::{Called, Stop, trap};
use crate::guest::Ctx;

/// What `result.next` and `resource.drop` give where there is nothing more to do.
const NOTHING: u64 = u64::MAX;

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the guest gets this value.
    Done(Option<u64>),
    /// It cannot be done yet. The same call is to be made again when the wait is over.
    Block(Wait),
    /// The guest ends with this exit code.
    Exit(u32),
    /// The guest has broken a rule of the component model or of an interface, and ends.
    Trap(String),
}

impl Ctx {
    /// Makes a call of a component's. `arguments` are raw bits; `memory` is the one that the import
    /// names, and may be empty if it names none. `woken` is the wait that this very call gave when
    /// it blocked before, so that a relative deadline does not start again.
    pub fn call_component(
        &mut self,
        import: &Import,
        arguments: &[u64],
        memory: &mut [u8],
        woken: Option<&Wait>,
    ) -> Outcome {
        if woken.is_some() {
            // The wait may have ended by what others than this call wait for.
            go_on(self);
        }
        let called = match &import.0 {
            Target::Function {
                function,
                instance,
                encoding,
            } => {
                let mut call = Call {
                    ctx: self,
                    memory,
                    woken,
                    instance: *instance,
                    encoding: *encoding,
                };
                function.invoke(&mut call, arguments)
            }
            Target::Handle {
                operation,
                instance,
                ty,
            } => self.handle(*operation, *instance, *ty, argument(arguments)),
            Target::Builtin(Builtin::NextAllocations { .. }) => {
                self.next_allocations(arguments, memory)
            }
            Target::Builtin(builtin) => self.builtin(builtin, argument(arguments)),
        };
        match called {
            Ok(value) => Outcome::Done(value),
            Err(Stop::Block(wait)) => Outcome::Block(wait),
            Err(Stop::Exit(code)) => Outcome::Exit(code),
            Err(Stop::Trap(message)) => Outcome::Trap(message.into_owned()),
        }
    }

    fn handle(
        &mut self,
        operation: Operation,
        instance: u32,
        ty: ResourceType,
        argument: u32,
    ) -> Called<Option<u64>> {
        let handles = &mut self.component.handles;
        let value = match operation {
            Operation::New => handles.insert_own(instance, ty, argument)?,
            Operation::Rep => handles.rep(instance, ty, argument)?,
            Operation::Lend => handles.lend(instance, ty, argument)?,
            Operation::TransferOwn(to) => handles.transfer_own(ty, (instance, to), argument)?,
            Operation::TransferBorrow(to) => {
                handles.transfer_borrow(ty, (instance, to), argument)?
            }
            Operation::Drop => {
                return match (handles.remove(instance, ty, argument)?, ty) {
                    (Dropped::Borrow, _) => Ok(Some(NOTHING)),
                    (Dropped::Own(rep), ResourceType::Guest(_)) => Ok(Some(rep.into())),
                    (Dropped::Own(rep), ResourceType::Host(_)) => {
                        release(self, rep)?;
                        Ok(Some(NOTHING))
                    }
                };
            }
        };
        Ok(Some(value.into()))
    }

    fn builtin(&mut self, builtin: &Builtin, argument: u32) -> Called<Option<u64>> {
        match builtin {
            Builtin::EnterCall => self.component.handles.enter_call()?,
            Builtin::ExitCall => self.component.handles.exit_call()?,
            Builtin::Exit => return Err(Stop::Exit(argument)),
            Builtin::Trap(reason) => return trap(reason.to_string()),
            Builtin::IsServing => {
                return Ok(Some(self.component.server.is_serving().into()));
            }
            Builtin::NextRequest { instance } => {
                return match serve::next_request(self, *instance)? {
                    None => {
                        let (listener, again) = serve::awaited_by_listener(self);
                        Err(wait_for(self, again, listener))
                    }
                    handles => Ok(handles),
                };
            }
            // Each of the others is about a handle.
            _ => return trap("not a function of the host's"),
        }
        Ok(None)
    }

    /// `result.next`: takes the blocks that the guest has allocated, and asks for the next ones.
    fn next_allocations(&mut self, blocks: &[u64], memory: &mut [u8]) -> Called<Option<u64>> {
        let Some(mut pending) = self.component.pending.take() else {
            return Ok(Some(NO_BLOCKS));
        };
        let request = pending.next(memory, blocks)?;
        if request != NO_BLOCKS {
            self.component.pending = Some(pending);
        }
        Ok(Some(request))
    }
}

/// The argument of a builtin, which takes at most one.
fn argument(arguments: &[u64]) -> u32 {
    // Arguments arrive with the import's own type checked; a missing one reads as zero.
    arguments.first().copied().unwrap_or(0) as u32
}
