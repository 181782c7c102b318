//! The directories that a guest is given, and listings of directories.

use std::collections::VecDeque;

use super::descriptor::fd;
use super::types::{DirectoryEntry, ErrorCode};
use crate::errno::{Errno, Result as OsResult};
use crate::fs::EntryV1;
use crate::guest::Ctx;
use crate::guest::table::Kind;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::resource::{Descriptor, DirectoryEntryStream};
use crate::p2::stop::Called;

pub(crate) fn get_directories(
    call: &mut Call<'_>,
    (): (),
) -> Called<Vec<(Own<Descriptor>, String)>> {
    let open = call.ctx.table.iter();
    let given = open.filter_map(|(fd, descriptor)| match &descriptor.kind {
        Kind::Dir(dir) if dir.is_preopen => Some((fd, dir.preopen.clone())),
        Kind::Memory(node) => node.preopen_name().map(|name| (fd, name)),
        _ => None,
    });
    let given: Vec<(u32, String)> = given.collect();
    let resources = &mut call.component().resources;
    let directories = given.into_iter().map(|(fd, name)| {
        let directory = resources.push(Descriptor { fd })?;
        Ok((Own::new(directory), name))
    });
    directories.collect()
}

pub(crate) fn read_directory(
    call: &mut Call<'_>,
    (this,): (Borrow<Descriptor>,),
) -> Called<Result<Own<DirectoryEntryStream>, ErrorCode>> {
    let fd = fd(call, &this)?;
    let entries = match entries(call.ctx, fd) {
        Ok(entries) => entries,
        Err(errno) => return Ok(Err(errno.into())),
    };
    let resources = &mut call.component().resources;
    let stream = resources.push(DirectoryEntryStream { entries })?;
    Ok(Ok(Own::new(stream)))
}

/// The entries of a directory, without itself and its parent.
fn entries(ctx: &mut Ctx, fd: u32) -> OsResult<VecDeque<EntryV1>> {
    let descriptor = ctx.table.get_mut(fd).map_err(|_| Errno::BADF)?;
    let entries = match &mut descriptor.kind {
        Kind::Dir(dir) => {
            dir.entries(true)?;
            dir.listing.take()
        }
        Kind::Memory(node) => Some(node.entries(true)?.to_vec()),
        _ => return Err(Errno::NOTDIR),
    };
    let entries = entries.unwrap_or_default().into_iter();
    Ok(entries
        .filter(|entry| entry.name != "." && entry.name != "..")
        .collect())
}

pub(crate) fn read_directory_entry(
    call: &mut Call<'_>,
    (this,): (Borrow<DirectoryEntryStream>,),
) -> Called<Result<Option<DirectoryEntry>, ErrorCode>> {
    let resources = &mut call.component().resources;
    let stream: &mut DirectoryEntryStream = resources.get_mut(this.rep)?;
    let entry = stream.entries.pop_front();
    Ok(Ok(entry.map(|entry| DirectoryEntry {
        r#type: entry.filetype.into(),
        name: entry.name,
    })))
}
