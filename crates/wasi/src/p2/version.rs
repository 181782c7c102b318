//! The versions of interfaces. All patch versions of 0.2 are one to the host.

/// The name of an interface without its version; `None` if the version is not 0.2.
pub(crate) fn unversioned(interface: &str) -> Option<&str> {
    let (name, version) = interface.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    let is_patch = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    is_patch.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::unversioned;

    #[test]
    fn any_patch_version_is_taken_and_no_other() {
        for interface in ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.12"] {
            assert_eq!(unversioned(interface), Some("wasi:io/poll"));
        }
        for interface in [
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.20.0",
            "wasi:io/poll@0.2.",
            "wasi:io/poll@0.2.0-rc-2023-11-10",
        ] {
            assert_eq!(unversioned(interface), None, "{interface}");
        }
    }
}
