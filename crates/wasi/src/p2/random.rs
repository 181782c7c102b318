//! `wasi:random`. All its functions give of the same source, which is a good one.

use super::call::Call;
use super::stop::{Called, trap};

/// How many bytes one call gives, as with Wasmtime.
const MAX_BYTES: u64 = 64 << 20;

pub(crate) fn get_random_bytes(call: &mut Call<'_>, (count,): (u64,)) -> Called<Vec<u8>> {
    if count > MAX_BYTES {
        return trap(format!("requested len {count} exceeds limit {MAX_BYTES}"));
    }
    let mut bytes = vec![0; count as usize];
    fill(call, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn get_random_u64(call: &mut Call<'_>, (): ()) -> Called<u64> {
    let mut bytes = [0; 8];
    fill(call, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The seed stays the same as long as the guest lives.
pub(crate) fn insecure_seed(call: &mut Call<'_>, (): ()) -> Called<(u64, u64)> {
    if let Some(seed) = call.component().insecure_seed {
        return Ok(seed);
    }
    let seed = (get_random_u64(call, ())?, get_random_u64(call, ())?);
    call.component().insecure_seed = Some(seed);
    Ok(seed)
}

fn fill(call: &mut Call<'_>, buffer: &mut [u8]) -> Called<()> {
    match call.ctx.resources.random.fill(buffer) {
        Ok(()) => Ok(()),
        Err(errno) => trap(format!("the host has no random numbers: {errno}")),
    }
}
