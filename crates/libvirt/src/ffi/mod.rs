//! The libvirt C library, as far as we use it. All `unsafe` of this crate is in this module.
//!
//! `virt-sys` is used directly: the `virt` crate leaks the records of all-domain stats, hands libvirt's memory to
//! Rust's allocator, panics on typed parameters of another type and on failing drops, and lacks abort and events.
//!
//! Every call blocks and has no deadline of its own; see `worker` for how one is ended. Text that comes out is
//! untrusted.

mod block;
mod params;

pub(crate) use params::{MigrateFlags, Params};

use dormouse_model::Lack;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::os::raw::{c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use uuid::Uuid;
use virt_sys as sys;

/// libvirt's word on why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    pub code: i32,
    /// Untrusted text, shortened.
    pub message: String,
}

impl Error {
    pub(crate) fn ours(message: impl Into<String>) -> Self {
        Self { code: -1, message: message.into() }
    }

    pub(crate) fn is_no_domain(&self) -> bool {
        self.is(sys::VIR_ERR_NO_DOMAIN)
    }

    /// What was asked does not fit the state of the domain: there is no job, it does not run.
    pub(crate) fn is_wrong_state(&self) -> bool {
        self.is(sys::VIR_ERR_OPERATION_INVALID)
    }

    /// The guest is not running any more, or is not even defined.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_wrong_state() || self.is_no_domain()
    }

    /// Asked for a job's numbers at the destination of a move, where there are none.
    pub(crate) fn is_unsupported_here(&self) -> bool {
        self.is(sys::VIR_ERR_OPERATION_UNSUPPORTED)
    }

    /// A disk is locked by another host, in the words of virtlockd, of sanlock or of QEMU itself.
    pub(crate) fn is_locked(&self) -> bool {
        self.is(sys::VIR_ERR_RESOURCE_BUSY)
            || ["Failed to acquire lock", "Lockspace resource", "Failed to get \"write\" lock"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// The driver does not know such a call.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.is(sys::VIR_ERR_NO_SUPPORT)
    }

    /// What the destination of a move lacks, where libvirt's word says so: its codes first, then the words of those of its
    /// errors, and of QEMU's, that come with a code for anything.
    pub(crate) fn lack(&self) -> Option<Lack> {
        const WORDS: [(&str, Lack); 11] = [
            ("guest CPU doesn't match specification", Lack::Cpu),
            ("guest and host CPU are not compatible", Lack::Cpu),
            ("guest CPU is not compatible with host CPU", Lack::Cpu),
            ("Host CPU does not provide required features", Lack::Cpu),
            ("Host doesn't support requested feature", Lack::Cpu),
            ("does not support machine type", Lack::Machine),
            ("unsupported machine type", Lack::Machine),
            ("no network with matching name", Lack::Network),
            ("Cannot get interface MTU on", Lack::Network),
            ("Unable to add bridge", Lack::Network),
            ("not a bridge", Lack::Network),
        ];
        if self.is(sys::VIR_ERR_CPU_INCOMPATIBLE) {
            return Some(Lack::Cpu);
        }
        if self.is(sys::VIR_ERR_NO_NETWORK) {
            return Some(Lack::Network);
        }
        WORDS.iter().find(|(words, _)| self.message.contains(words)).map(|(_, lack)| *lack)
    }

    fn is(&self, code: sys::virErrorNumber) -> bool {
        i64::from(self.code) == i64::from(code)
    }

    /// The last error of this thread.
    fn last() -> Self {
        // SAFETY: the pointer belongs to this thread and stays valid until its next libvirt call; copied at once.
        unsafe {
            let error = sys::virGetLastError();
            if error.is_null() {
                return Self::ours("libvirt failed without saying why");
            }
            let found =
                Self { code: (*error).code, message: text((*error).message).chars().take(500).collect() };
            sys::virResetLastError();
            found
        }
    }
}

/// # Safety
/// `text` is null or a string that ends with a zero byte.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::ours("a text with a zero byte"))
}

fn check(result: c_int) -> Result<c_int, Error> {
    if result < 0 { Err(Error::last()) } else { Ok(result) }
}

/// Once per process, before the first connection: no error goes to our standard error, and libvirt's event loop
/// runs on a thread of its own.
fn start() -> Result<(), Error> {
    unsafe extern "C" fn silent(_: *mut c_void, _: sys::virErrorPtr) {}
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            // SAFETY: called once; the handler takes nothing and does nothing.
            unsafe {
                sys::virSetErrorFunc(ptr::null_mut(), Some(silent));
                check(sys::virEventRegisterDefaultImpl())?;
            }
            std::thread::Builder::new()
                .name("libvirt-events".into())
                .spawn(|| {
                    // SAFETY: the loop was registered above; only this thread runs it.
                    while unsafe { sys::virEventRunDefaultImpl() } >= 0 {}
                    tracing::error!("libvirt's event loop ended; changes are seen at the next look only");
                })
                .map(drop)
                .map_err(|error| Error::ours(format!("no thread for libvirt's events: {error}")))
        })
        .clone()
}

/// An open connection.
pub(crate) struct Connection {
    ptr: NonNull<sys::virConnect>,
    callback: Option<c_int>,
}

// SAFETY: libvirt connections may be used from any thread, and from several at once.
unsafe impl Send for Connection {}

type OnChange = Box<dyn Fn() + Send + Sync>;

impl Connection {
    pub(crate) fn open(uri: &str) -> Result<Self, Error> {
        start()?;
        let uri = c_string(uri)?;
        // SAFETY: the URI outlives the call.
        let ptr = NonNull::new(unsafe { sys::virConnectOpen(uri.as_ptr()) }).ok_or_else(Error::last)?;
        Ok(Self { ptr, callback: None })
    }

    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: an open connection.
        unsafe { sys::virConnectIsAlive(self.ptr.as_ptr()) == 1 }
    }

    /// Versions of libvirt and of its emulator there, in words; `None` where it does not tell them.
    pub(crate) fn versions(&self) -> Option<String> {
        let (mut library, mut emulator) = (0, 0);
        // SAFETY: an open connection, and two numbers that libvirt writes.
        let told = unsafe {
            check(sys::virConnectGetLibVersion(self.ptr.as_ptr(), &raw mut library)).is_ok()
                && check(sys::virConnectGetVersion(self.ptr.as_ptr(), &raw mut emulator)).is_ok()
        };
        let words =
            |number: c_ulong| format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000);
        told.then(|| format!("libvirt {}, emulator {}", words(library), words(emulator)))
    }

    /// Calls back, on libvirt's event thread, whenever a domain here changes its state.
    pub(crate) fn on_change(&mut self, call: OnChange) -> Result<(), Error> {
        unsafe extern "C" fn changed(
            _: sys::virConnectPtr,
            _: sys::virDomainPtr,
            _: c_int,
            _: c_int,
            call: *mut c_void,
        ) {
            // SAFETY: `call` is the box given below, alive until libvirt calls `forget`.
            unsafe { (*call.cast::<OnChange>())() }
        }
        unsafe extern "C" fn forget(call: *mut c_void) {
            // SAFETY: libvirt calls this once, and never calls back afterwards.
            drop(unsafe { Box::from_raw(call.cast::<OnChange>()) });
        }
        if self.callback.is_some() {
            return Ok(());
        }
        let call = Box::into_raw(Box::new(call));
        type Lifecycle =
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void);
        // SAFETY: libvirt calls a lifecycle callback with the arguments of `Lifecycle`, whatever the generic type says;
        // on failure nothing was registered and the box is ours again.
        unsafe {
            let generic = std::mem::transmute::<
                Lifecycle,
                unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
            >(changed);
            let id = sys::virConnectDomainEventRegisterAny(
                self.ptr.as_ptr(),
                ptr::null_mut(),
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE.cast_signed(),
                Some(generic),
                call.cast(),
                Some(forget),
            );
            if id < 0 {
                drop(Box::from_raw(call));
                return Err(Error::last());
            }
            self.callback = Some(id);
        }
        Ok(())
    }

    /// State, processor time and memory of every domain, in one call that waits for no job of any domain.
    pub(crate) fn all_stats(&self) -> Result<Vec<Stats>, Error> {
        let wanted = sys::VIR_DOMAIN_STATS_STATE
            | sys::VIR_DOMAIN_STATS_CPU_TOTAL
            | sys::VIR_DOMAIN_STATS_BALLOON
            | sys::VIR_DOMAIN_STATS_VCPU;
        let mut records: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
        // SAFETY: libvirt fills `records` with that many records, which are read and then freed, once.
        unsafe {
            let count = check(sys::virConnectGetAllDomainStats(
                self.ptr.as_ptr(),
                wanted as c_uint,
                &raw mut records,
                sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT as c_uint,
            ))?;
            let mut all = vec![];
            for place in 0..usize::try_from(count).unwrap_or(0) {
                let record = *records.add(place);
                let identity = uuid_of((*record).dom);
                let name = text(sys::virDomainGetName((*record).dom));
                let id = sys::virDomainGetID((*record).dom);
                let numbers = Numbers::read((*record).params, (*record).nparams);
                all.push(identity.map(|uuid| Stats { uuid, name, id, numbers }));
            }
            sys::virDomainStatsRecordListFree(records);
            all.into_iter().collect()
        }
    }

    /// The UUIDs of all domains of which these `VIR_CONNECT_LIST_DOMAINS_…` flags are true.
    pub(crate) fn list(&self, flags: ListFlags) -> Result<Vec<Uuid>, Error> {
        let mut domains: *mut sys::virDomainPtr = ptr::null_mut();
        // SAFETY: libvirt fills `domains` with that many domains; each is freed, and then the list itself.
        unsafe {
            let count = check(sys::virConnectListAllDomains(self.ptr.as_ptr(), &raw mut domains, flags.0))?;
            let mut uuids = vec![];
            for place in 0..usize::try_from(count).unwrap_or(0) {
                let domain = *domains.add(place);
                uuids.push(uuid_of(domain));
                sys::virDomainFree(domain);
            }
            libc::free(domains.cast());
            uuids.into_iter().collect()
        }
    }

    /// The names of all active networks of libvirt's own.
    pub(crate) fn networks(&self) -> Result<Vec<String>, Error> {
        let mut networks: *mut sys::virNetworkPtr = ptr::null_mut();
        let active = sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE as c_uint;
        // SAFETY: libvirt fills `networks` with that many networks; each is freed, and then the list itself.
        unsafe {
            let count = check(sys::virConnectListAllNetworks(self.ptr.as_ptr(), &raw mut networks, active))?;
            let mut names = vec![];
            for place in 0..usize::try_from(count).unwrap_or(0) {
                let network = *networks.add(place);
                names.push(text(sys::virNetworkGetName(network)));
                sys::virNetworkFree(network);
            }
            libc::free(networks.cast());
            Ok(names)
        }
    }

    /// `None`: this host does not know the VM.
    pub(crate) fn find(&self, vm: Uuid) -> Result<Option<Domain<'_>>, Error> {
        let uuid = c_string(&vm.to_string())?;
        // SAFETY: the text outlives the call.
        match self.domain(unsafe { sys::virDomainLookupByUUIDString(self.ptr.as_ptr(), uuid.as_ptr()) }) {
            Ok(domain) => Ok(Some(domain)),
            Err(error) if error.is_no_domain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn define(&self, xml: &str) -> Result<Domain<'_>, Error> {
        let xml = c_string(xml)?;
        let validate = sys::VIR_DOMAIN_DEFINE_VALIDATE as c_uint;
        // SAFETY: the text outlives the call.
        self.domain(unsafe { sys::virDomainDefineXMLFlags(self.ptr.as_ptr(), xml.as_ptr(), validate) })
    }

    fn domain(&self, ptr: sys::virDomainPtr) -> Result<Domain<'_>, Error> {
        NonNull::new(ptr).map(|ptr| Domain { ptr, of: PhantomData }).ok_or_else(Error::last)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: nothing uses the connection after this. What fails here leaves nothing to do.
        unsafe {
            if let Some(id) = self.callback {
                sys::virConnectDomainEventDeregisterAny(self.ptr.as_ptr(), id);
            }
            sys::virConnectClose(self.ptr.as_ptr());
            sys::virResetLastError();
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ListFlags(c_uint);

impl ListFlags {
    pub(crate) const ALL: Self = Self(0);
    pub(crate) const PERSISTENT: Self = Self(sys::VIR_CONNECT_LIST_DOMAINS_PERSISTENT as c_uint);
    pub(crate) const AUTOSTART: Self = Self(sys::VIR_CONNECT_LIST_DOMAINS_AUTOSTART as c_uint);
    pub(crate) const SAVED: Self = Self(sys::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE as c_uint);
}

/// One domain in an answer of [`Connection::all_stats`].
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    pub uuid: Uuid,
    pub name: String,
    /// Another one each time it starts; `u32::MAX` when it does not run.
    pub id: u32,
    pub numbers: Numbers,
}

/// The whole numbers among libvirt's typed parameters. One that is negative is left out: it is no quantity of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers(BTreeMap<String, u64>);

impl Numbers {
    /// A host that sends more is not sending statistics.
    const MAX: usize = 20_000;

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(numbers: [(&str, u64); N]) -> Self {
        Self(numbers.into_iter().map(|(name, number)| (name.to_owned(), number)).collect())
    }

    /// # Safety
    /// `params` points to `count` typed parameters, or is null with none.
    unsafe fn read(params: sys::virTypedParameterPtr, count: c_int) -> Self {
        let mut numbers = BTreeMap::new();
        if params.is_null() {
            return Self(numbers);
        }
        for place in 0..usize::try_from(count).unwrap_or(0).min(Self::MAX) {
            // SAFETY: within the list; the member of the union is chosen by the type that libvirt wrote beside it.
            let (name, number) = unsafe {
                let param = &*params.add(place);
                let number = match param.type_.cast_unsigned() {
                    sys::VIR_TYPED_PARAM_INT => u64::try_from(param.value.i).ok(),
                    sys::VIR_TYPED_PARAM_UINT => Some(u64::from(param.value.ui)),
                    sys::VIR_TYPED_PARAM_LLONG => u64::try_from(param.value.l).ok(),
                    sys::VIR_TYPED_PARAM_ULLONG => Some(param.value.ul),
                    _ => None,
                };
                (text(param.field.as_ptr()), number)
            };
            if let Some(number) = number {
                numbers.insert(name, number);
            }
        }
        Self(numbers)
    }
}

/// # Safety
/// `domain` is a valid domain.
unsafe fn uuid_of(domain: sys::virDomainPtr) -> Result<Uuid, Error> {
    let mut bytes = [0_u8; 16];
    // SAFETY: libvirt writes VIR_UUID_BUFLEN (16) bytes.
    check(unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) })?;
    Ok(Uuid::from_bytes(bytes))
}

/// A handle on one VM. It names the VM by UUID for as long as the connection lives.
pub(crate) struct Domain<'c> {
    ptr: NonNull<sys::virDomain>,
    of: PhantomData<&'c Connection>,
}

impl Drop for Domain<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours alone.
        unsafe { sys::virDomainFree(self.ptr.as_ptr()) };
    }
}

impl Domain<'_> {
    pub(crate) fn uuid(&self) -> Result<Uuid, Error> {
        // SAFETY: a valid domain, here and in the calls below.
        unsafe { uuid_of(self.ptr.as_ptr()) }
    }

    pub(crate) fn name(&self) -> String {
        // SAFETY: the text belongs to the handle and is copied.
        unsafe { text(sys::virDomainGetName(self.ptr.as_ptr())) }
    }

    /// State and reason, in libvirt's numbers.
    pub(crate) fn state(&self) -> Result<(i64, i64), Error> {
        let (mut state, mut reason) = (0, 0);
        // SAFETY: both are written before they are read.
        check(unsafe { sys::virDomainGetState(self.ptr.as_ptr(), &raw mut state, &raw mut reason, 0) })?;
        Ok((i64::from(state), i64::from(reason)))
    }

    /// The definition: as it runs, or as it will start next.
    pub(crate) fn xml(&self, next: bool) -> Result<String, Error> {
        let flags = if next { sys::VIR_DOMAIN_XML_INACTIVE as c_uint } else { 0 };
        // SAFETY: the text is ours and is freed after it was copied.
        unsafe {
            let xml = sys::virDomainGetXMLDesc(self.ptr.as_ptr(), flags);
            if xml.is_null() {
                return Err(Error::last());
            }
            let copy = text(xml);
            libc::free(xml.cast());
            Ok(copy)
        }
    }

    pub(crate) fn is_persistent(&self) -> Result<bool, Error> {
        check(unsafe { sys::virDomainIsPersistent(self.ptr.as_ptr()) }).map(|yes| yes == 1)
    }

    pub(crate) fn has_saved_memory(&self) -> Result<bool, Error> {
        check(unsafe { sys::virDomainHasManagedSaveImage(self.ptr.as_ptr(), 0) }).map(|yes| yes == 1)
    }

    /// Whether its QEMU process has not answered libvirtd for a while. Who asks about the VM then waits with it.
    pub(crate) fn is_stuck(&self) -> Result<bool, Error> {
        const PATIENCE_MS: u64 = 1000;
        // SAFETY: plain data, written by the call.
        let info = unsafe {
            let mut info: sys::virDomainControlInfo = std::mem::zeroed();
            check(sys::virDomainGetControlInfo(self.ptr.as_ptr(), &raw mut info, 0))?;
            info
        };
        Ok(info.state == sys::VIR_DOMAIN_CONTROL_OCCUPIED as c_uint && info.stateTime > PATIENCE_MS)
    }

    /// Numbers of the job that runs, or of the last one that ended. None are given when there is no job.
    pub(crate) fn job(&self, ended: bool) -> Result<Numbers, Error> {
        let flags = if ended { sys::VIR_DOMAIN_JOB_STATS_COMPLETED as c_uint } else { 0 };
        let (mut kind, mut params, mut count) = (0, ptr::null_mut(), 0);
        // SAFETY: libvirt fills the list, which is read and then freed by libvirt itself.
        unsafe {
            check(sys::virDomainGetJobStats(
                self.ptr.as_ptr(),
                &raw mut kind,
                &raw mut params,
                &raw mut count,
                flags,
            ))?;
            let numbers = Numbers::read(params, count);
            sys::virTypedParamsFree(params, count);
            Ok(numbers)
        }
    }

    pub(crate) fn abort_job(&self) -> Result<(), Error> {
        check(unsafe { sys::virDomainAbortJob(self.ptr.as_ptr()) }).map(drop)
    }

    pub(crate) fn start(&self) -> Result<(), Error> {
        check(unsafe { sys::virDomainCreate(self.ptr.as_ptr()) }).map(drop)
    }

    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        check(unsafe { sys::virDomainShutdown(self.ptr.as_ptr()) }).map(drop)
    }

    pub(crate) fn resume(&self) -> Result<(), Error> {
        check(unsafe { sys::virDomainResume(self.ptr.as_ptr()) }).map(drop)
    }

    /// Ends a copy that a finished move left behind. The only caller is the settling of half-done moves.
    pub(crate) fn drop_copy(&self) -> Result<(), Error> {
        check(unsafe { sys::virDomainDestroyFlags(self.ptr.as_ptr(), 0) }).map(drop)
    }

    /// Removes the definition alone; refused by libvirt while there is saved memory or a snapshot with it.
    pub(crate) fn undefine(&self) -> Result<(), Error> {
        let keep = sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM as c_uint;
        let with = |flags| check(unsafe { sys::virDomainUndefineFlags(self.ptr.as_ptr(), flags) }).map(drop);
        match with(keep) {
            // A driver that knows no such memory has none to keep.
            Err(error) if error.is(sys::VIR_ERR_INVALID_ARG) => with(0),
            other => other,
        }
    }

    /// Hosts move it among themselves; this call waits for the end.
    pub(crate) fn migrate_to(&self, to_uri: &str, params: &Params, flags: MigrateFlags) -> Result<(), Error> {
        let uri = c_string(to_uri)?;
        let flags = flags.0 | sys::VIR_MIGRATE_PEER2PEER as c_uint;
        // SAFETY: URI and parameters outlive the call.
        check(unsafe {
            sys::virDomainMigrateToURI3(self.ptr.as_ptr(), uri.as_ptr(), params.ptr, params.len(), flags)
        })
        .map(drop)
    }

    /// We move it between two hosts of ours: if we die in the middle, it is left half done.
    pub(crate) fn migrate_by_us(
        &self,
        to: &Connection,
        params: &Params,
        flags: MigrateFlags,
    ) -> Result<(), Error> {
        // SAFETY: as above; the domain that comes back is freed at once.
        let ptr = unsafe {
            sys::virDomainMigrate3(self.ptr.as_ptr(), to.ptr.as_ptr(), params.ptr, params.len(), flags.0)
        };
        to.domain(ptr).map(drop)
    }
}
