//! Jobs on the disks of a VM: libvirt tells them apart from the VM's own, and one by one.

use super::{Domain, Error, c_string, check, sys};

impl Domain<'_> {
    /// Whether something copies, merges or fills this drive (its name as the guest's definition has it: `vda`).
    pub(crate) fn has_block_job(&self, drive: &str) -> Result<bool, Error> {
        let drive = c_string(drive)?;
        // SAFETY: plain data, written by the call; the name outlives it.
        let found = check(unsafe {
            let mut info: sys::virDomainBlockJobInfo = std::mem::zeroed();
            sys::virDomainGetBlockJobInfo(self.ptr.as_ptr(), drive.as_ptr(), &raw mut info, 0)
        });
        match found {
            Ok(found) => Ok(found == 1),
            // A drive that was pulled since, a VM that ended since, a driver without such jobs.
            Err(error)
                if error.is(sys::VIR_ERR_INVALID_ARG) || error.is_wrong_state() || error.is_unsupported() =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
