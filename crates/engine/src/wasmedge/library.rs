//! Loads libwasmedge when it is first used, instead of with the process.
//!
//! libwasmedge brings LLVM along, which costs more than 10 ms at every start, also where the task
//! runs on the other engine; and a binary that names it does not start at all where it is missing.
//! So the functions of its C interface are defined here: each jumps to where its slot points. The
//! linker then finds nothing left for the library to define, and does not name it in the binary.
//!
//! ```text
//!   wasmedge-sys --calls--> WasmEdge_X: jmp *slot --before load--> unloaded(): ends the process
//!                                                 `--after load--> libwasmedge's own WasmEdge_X
//! ```
//!
//! On other systems than Linux, and other processors, the library is linked as usual.

#![expect(unsafe_code, reason = "symbols of a library that is loaded by hand")]

/// Loads the library; later calls return what the first one did.
pub(super) fn load() -> Result<(), String> {
    use std::sync::OnceLock;
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(slots::fill).clone()
}

/// Gives LLVM, of which WasmEdge's compiler is made, options of its command line. They hold for the
/// process, so this is called in a child; LLVM ends the process on an option that it does not know.
///
/// # Errors
/// If LLVM is part of libwasmedge, or cannot be reached.
pub(super) fn set_llvm_options(options: &[String]) -> Result<(), String> {
    slots::set_llvm_options(options)
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod slots {
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

    use super::super::symbols::with_symbols;

    /// The interface that `wasmedge-sys` is made for. Structures changed between minor versions.
    const VERSION: &str = "0.14.";
    const LIBRARY: &str = "libwasmedge.so.0";

    macro_rules! jump {
        ($name:ident) => {
            concat!(
                ".pushsection .data.dormouse_wasmedge,\"aw\"\n",
                ".Ldormouse_slot_",
                stringify!($name),
                ": .quad {unloaded}\n",
                ".popsection\n",
                ".hidden ",
                stringify!($name),
                "\n.globl ",
                stringify!($name),
                "\n.type ",
                stringify!($name),
                ", @function\n",
                stringify!($name),
                ":\n",
                jump_to!($name),
            )
        };
    }

    #[cfg(target_arch = "x86_64")]
    macro_rules! jump_to {
        ($name:ident) => {
            concat!(
                "jmp qword ptr [rip + .Ldormouse_slot_",
                stringify!($name),
                "]\n"
            )
        };
    }

    // x16 is the register that the procedure call standard leaves to such code.
    #[cfg(target_arch = "aarch64")]
    macro_rules! jump_to {
        ($name:ident) => {
            concat!(
                "adrp x16, .Ldormouse_slot_",
                stringify!($name),
                "\nldr x16, [x16, :lo12:.Ldormouse_slot_",
                stringify!($name),
                "]\nbr x16\n"
            )
        };
    }

    macro_rules! define {
        ($($name:ident)*) => {
            const NAMES: &[&str] = &[$(stringify!($name)),*];

            std::arch::global_asm!(
                ".pushsection .data.dormouse_wasmedge,\"aw\"",
                ".balign 8",
                ".hidden dormouse_wasmedge_slots",
                ".globl dormouse_wasmedge_slots",
                "dormouse_wasmedge_slots:",
                ".popsection",
                $(jump!($name),)*
                unloaded = sym unloaded,
            );
        };
    }

    with_symbols!(define);

    // SAFETY: defined above, as this many pointers.
    unsafe extern "C" {
        /// In the order of [`NAMES`].
        #[link_name = "dormouse_wasmedge_slots"]
        static SLOTS: [AtomicPtr<c_void>; NAMES.len()];
    }

    /// What every slot points to at first.
    extern "C" fn unloaded() -> ! {
        // Nothing of WasmEdge is reached but through `WasmEdge::new`, which loads it first.
        eprintln!("dormouse: libwasmedge was called before it was loaded");
        std::process::abort();
    }

    pub(super) fn fill() -> Result<(), String> {
        let library = open()?;
        let version = library_version(&library)?;
        if !version.starts_with(VERSION) {
            return Err(format!(
                "{LIBRARY} is version {version}, and this build of dormouse needs {VERSION}x"
            ));
        }
        // SAFETY: the symbol is defined above, with a slot for each name; the array is only ever
        // used through atomics here, and through the jumps.
        let slots = unsafe { &SLOTS };
        for (slot, name) in slots.iter().zip(NAMES) {
            // SAFETY: the type is that of a pointer, which says nothing of what it points to.
            // A symbol that is missing keeps its slot, for a function that nobody calls.
            if let Ok(symbol) = unsafe { library.get::<*mut c_void>(name.as_bytes()) } {
                slot.store(symbol.into_raw(), Ordering::Release);
            }
        }
        // It stays for as long as the process: compiled guests run in it.
        std::mem::forget(library);
        Ok(())
    }

    fn open() -> Result<Library, String> {
        let folder = std::env::var_os("WASMEDGE_LIB_DIR").map(PathBuf::from);
        let built_with = option_env!("WASMEDGE_LIB_DIR").map(PathBuf::from);
        let named = [folder, built_with].into_iter().flatten();
        let paths = named
            .map(|folder| folder.join(LIBRARY))
            .chain([PathBuf::from(LIBRARY)]);
        let mut reason = String::new();
        for path in paths {
            // SAFETY: its initialisers are those that would run at the process's start if the
            // library were linked.
            match unsafe { Library::open(Some(&path), RTLD_LAZY | RTLD_LOCAL) } {
                Ok(library) => return Ok(library),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(format!(
            "{LIBRARY} cannot be loaded ({reason}); install WasmEdge {VERSION}x (Debian and Ubuntu: \
             apt install libwasmedge0), or name its folder in WASMEDGE_LIB_DIR"
        ))
    }

    /// `void LLVMParseCommandLineOptions(int, const char *const *, const char *)` of LLVM's C
    /// interface (`llvm-c/Support.h`).
    // SAFETY: no call, a type; it is the function's own.
    type ParseCommandLine = unsafe extern "C" fn(c_int, *const *const c_char, *const c_char);

    pub(super) fn set_llvm_options(options: &[String]) -> Result<(), String> {
        let program = [c"dormouse".to_owned()];
        let options = options.iter().map(|o| CString::new(o.as_str()));
        let options: Vec<CString> = program
            .into_iter()
            .map(Ok)
            .chain(options)
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|e| e.to_string())?;
        // The one that is loaded already: it is sought among what it needs, too.
        let library = open()?;
        // SAFETY: the type is the function's, as above.
        let parse = unsafe { library.get::<ParseCommandLine>(b"LLVMParseCommandLineOptions") };
        let parse = parse.map_err(|e| format!("LLVM is not in reach: {e}"))?;
        // SAFETY: so many pointers to strings that end in a zero byte, and no overview to print.
        unsafe { parse(count, pointers.as_ptr(), std::ptr::null()) };
        Ok(())
    }

    fn library_version(library: &Library) -> Result<String, String> {
        // SAFETY: `const char *WasmEdge_VersionGet(void)`, in every version; it returns a string
        // that lives as long as the library.
        unsafe {
            // SAFETY: as above.
            let version = library
                .get::<unsafe extern "C" fn() -> *const c_char>(b"WasmEdge_VersionGet")
                .map_err(|e| format!("{LIBRARY} is no WasmEdge library: {e}"))?;
            Ok(CStr::from_ptr(version()).to_string_lossy().into_owned())
        }
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod slots {
    /// The linker has seen to it.
    pub(super) fn fill() -> Result<(), String> {
        Ok(())
    }

    pub(super) fn set_llvm_options(_options: &[String]) -> Result<(), String> {
        Err("LLVM is not in reach on this system".into())
    }
}
