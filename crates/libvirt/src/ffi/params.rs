//! What a migration is called with.

use super::{Error, c_string, check, sys};
use std::os::raw::{c_int, c_uint};
use std::ptr;

#[derive(Clone, Copy, Debug)]
pub(crate) struct MigrateFlags(pub(super) c_uint);

impl MigrateFlags {
    /// Live; defined there and no longer here; an I/O error ends it; a guest that writes too fast is slowed down.
    /// Never unsafe, never post-copy, never with a copy of disks.
    pub(crate) fn new(encrypt: bool) -> Self {
        let flags = sys::VIR_MIGRATE_LIVE
            | sys::VIR_MIGRATE_PERSIST_DEST
            | sys::VIR_MIGRATE_UNDEFINE_SOURCE
            | sys::VIR_MIGRATE_ABORT_ON_ERROR
            | sys::VIR_MIGRATE_AUTO_CONVERGE
            | if encrypt { sys::VIR_MIGRATE_TLS } else { 0 };
        Self(flags as c_uint)
    }
}

/// Typed parameters for libvirt, made and freed by libvirt.
pub(crate) struct Params {
    pub(super) ptr: sys::virTypedParameterPtr,
    count: c_int,
    room: c_int,
}

impl Params {
    pub(crate) fn new() -> Self {
        Self { ptr: ptr::null_mut(), count: 0, room: 0 }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Result<Self, Error> {
        let (name, value) = (c_string(name)?, c_string(value)?);
        // SAFETY: libvirt grows the list and copies both texts.
        check(unsafe {
            sys::virTypedParamsAddString(
                &raw mut self.ptr,
                &raw mut self.count,
                &raw mut self.room,
                name.as_ptr(),
                value.as_ptr(),
            )
        })?;
        Ok(self)
    }

    pub(super) fn len(&self) -> c_uint {
        c_uint::try_from(self.count).unwrap_or(0)
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        // SAFETY: the list is libvirt's own, or null with a count of 0.
        unsafe { sys::virTypedParamsFree(self.ptr, self.count) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_move_is_forced_copies_disks_or_can_become_post_copy() {
        let never = sys::VIR_MIGRATE_UNSAFE
            | sys::VIR_MIGRATE_POSTCOPY
            | sys::VIR_MIGRATE_POSTCOPY_RESUME
            | sys::VIR_MIGRATE_NON_SHARED_DISK
            | sys::VIR_MIGRATE_NON_SHARED_INC;
        for encrypt in [false, true] {
            assert_eq!(MigrateFlags::new(encrypt).0 & never as c_uint, 0);
        }
    }
}
