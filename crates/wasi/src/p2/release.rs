//! What becomes of a resource of the host's that its guest drops.

use super::resource::Resource;
use super::stop::Called;
use crate::p1::Ctx;

/// Drops a resource. A pollable goes with its timer.
pub(crate) fn release(ctx: &mut Ctx, rep: u32) -> Called<()> {
    let resources = &mut ctx.component.resources;
    let timer = match resources.any(rep)? {
        Resource::Pollable(_) => {
            let parent = resources.parent(rep)?;
            matches!(resources.any(parent)?, Resource::Timer(_)).then_some(parent)
        }
        _ => None,
    };
    resources.delete(rep)?;
    if let Some(timer) = timer {
        resources.delete(timer)?;
    }
    Ok(())
}
