//! A snapshot as a store keeps it: without its module, and compressed against another snapshot of
//! the same program, its *base*. Sleeping copies of one program then cost little more than their
//! differences, wherever in a page these lie.
//!
//! ```text
//!   flat     five lengths of 8 bytes (little-endian), then meta, instance, WASI, stack, pages
//!   packed   one byte, 1, then a zstd frame of the flat form; the base's flat form is its prefix
//! ```
//!
//! Prefixes are zstd's own (`ZSTD_CCtx_refPrefix`, what `zstd --patch-from` does).

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter};

use super::data::{from_bytes, to_bytes};
use super::{Error, ModuleRef, Snapshot};
use crate::model::error::Error as Public;

/// The first byte of a packed snapshot: the version of its format.
const FORMAT_VERSION: u8 = 1;

/// How many parts the flat form has.
const PART_COUNT: usize = 5;

/// If base and snapshot together have more bytes than this, zstd's long-distance matching is on: the
/// match tables of its default level do not reach over all of it.
const LONG_DISTANCE_BYTES: usize = 256 << 10;

/// zstd's largest window, as a power of two.
const MAX_WINDOW_LOG: u32 = 30;

impl Snapshot {
    /// The flat form: everything but the module.
    pub fn flatten(&self) -> Result<Vec<u8>, Public> {
        let meta = to_bytes(&self.meta)?;
        let instance = to_bytes(&self.instance)?;
        let parts = [&meta, &instance, &self.wasi, &self.stack, &self.pages];
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let mut flat = Vec::with_capacity(8 * PART_COUNT + size);
        for part in parts {
            flat.extend_from_slice(&(part.len() as u64).to_le_bytes());
        }
        for part in parts {
            flat.extend_from_slice(part);
        }
        Ok(flat)
    }

    /// Reads the flat form.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn unflatten(flat: &[u8]) -> Result<Self, Public> {
        let short = || Error::Malformed("a stored snapshot is too short".into());
        let (mut lengths, mut rest) = flat.split_at_checked(8 * PART_COUNT).ok_or_else(short)?;
        let mut next = || {
            let (length, others) = lengths.split_first_chunk().ok_or_else(short)?;
            lengths = others;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
            let (part, others) = rest.split_at_checked(length).ok_or_else(short)?;
            rest = others;
            Ok::<_, Error>(part)
        };
        let (meta, instance) = (from_bytes(next()?)?, from_bytes(next()?)?);
        let [wasi, stack, pages] = [next()?.to_vec(), next()?.to_vec(), next()?.to_vec()];
        if !rest.is_empty() {
            return Err(Error::Malformed("a stored snapshot is too long".into()).into());
        }
        Ok(Self {
            meta,
            module: ModuleRef::ByDigest,
            instance,
            wasi,
            pages,
            stack,
        })
    }
}

/// Compresses a flat form against a base's flat form, which may be empty, but must not be the same
/// memory: zstd ignores a prefix that overlaps its input.
///
/// # Errors
/// If zstd fails, which means that memory is short.
pub fn pack(flat: &[u8], base: &[u8]) -> Result<Vec<u8>, Public> {
    let mut context = CCtx::create();
    let mut packed = Vec::with_capacity(1 + zstd_safe::compress_bound(flat.len()));
    packed.push(FORMAT_VERSION);
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(flat.len()));
    let reach = base.len() + flat.len();
    let done = (|| {
        context.set_parameter(CParameter::CompressionLevel(
            zstd::DEFAULT_COMPRESSION_LEVEL,
        ))?;
        context.set_parameter(CParameter::ChecksumFlag(true))?;
        if reach > LONG_DISTANCE_BYTES {
            let window = (reach.ilog2() + 1).min(MAX_WINDOW_LOG);
            context.set_parameter(CParameter::WindowLog(window))?;
            context.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        }
        if !base.is_empty() {
            context.ref_prefix(base)?;
        }
        context.compress2(&mut frame, flat)
    })();
    done.map_err(failed)?;
    packed.extend_from_slice(&frame);
    Ok(packed)
}

/// Undoes [`pack`] with the same base. `limit` is the largest flat form to accept, in bytes.
///
/// # Errors
/// If the bytes are damaged, or the base is another one.
pub fn unpack(packed: &[u8], base: &[u8], limit: u64) -> Result<Vec<u8>, Public> {
    let damaged = |text: &str| Error::Malformed(format!("a stored snapshot {text}"));
    let frame = match packed.split_first() {
        Some((&FORMAT_VERSION, frame)) => frame,
        Some((form, _)) => {
            let text = format!("has form {form}, and this build knows form {FORMAT_VERSION}");
            return Err(damaged(&text).into());
        }
        None => return Err(damaged("is empty").into()),
    };
    let size = zstd_safe::get_frame_content_size(frame).ok().flatten();
    let size = size.ok_or_else(|| damaged("does not say how long it is"))?;
    // Checked before memory is asked for.
    if size > limit {
        let text = format!("has {size} bytes, and at most {limit} are accepted");
        return Err(damaged(&text).into());
    }
    let size = usize::try_from(size).map_err(|_| damaged("is too long for this machine"))?;
    let mut flat = Vec::with_capacity(size);
    let mut context = DCtx::create();
    let done = (|| {
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        if !base.is_empty() {
            context.ref_prefix(base)?;
        }
        context.decompress(&mut flat, frame)
    })();
    done.map_err(|code| match zstd_safe::get_error_name(code) {
        // Nothing is wrong with the bytes.
        reason if reason.contains(MEMORY) => Error::Memory(reason.into()),
        reason => damaged(&format!("is damaged: {reason}")),
    })?;
    Ok(flat)
}

/// What zstd says where it gets no memory.
const MEMORY: &str = "not enough memory";

fn failed(code: usize) -> Error {
    Error::Memory(zstd_safe::get_error_name(code).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect()
    }

    #[test]
    fn a_copy_costs_its_differences() {
        for length in [10_000, 5 << 20] {
            let base = noise(length, 1);
            let mut flat = base.clone();
            flat[length / 2..length / 2 + 64].fill(7);
            let packed = pack(&flat, &base).expect("packs");
            assert!(packed.len() < 200 + length / 400, "{}", packed.len());
            assert_eq!(unpack(&packed, &base, 1 << 30).expect("unpacks"), flat);
        }
    }

    #[test]
    fn without_a_base_it_stands_alone() {
        let flat = vec![5; 100_000];
        let packed = pack(&flat, &[]).expect("packs");
        assert!(packed.len() < 100);
        assert_eq!(unpack(&packed, &[], 1 << 20).expect("unpacks"), flat);
    }

    #[test]
    fn the_wrong_base_and_damage_are_noticed() {
        let base = noise(50_000, 2);
        let packed = pack(&base.clone(), &base).expect("packs");
        assert!(unpack(&packed, &noise(50_000, 3), 1 << 20).is_err());
        assert!(unpack(&packed, &base, 49_999).is_err());
        assert!(unpack(&packed, &[], 1 << 20).is_err());
        assert!(unpack(&[], &base, 1 << 20).is_err());
        for index in 0..packed.len() {
            let mut broken = packed.clone();
            broken[index] ^= 0x10;
            if let Ok(flat) = unpack(&broken, &base, 1 << 20) {
                // A bit that does not matter, as in a reserved field.
                assert_eq!(flat, base, "byte {index}");
            }
            assert!(unpack(&packed[..index], &base, 1 << 20).is_err());
        }
    }
}
