//! Which code made a result, and how much processor time it took.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// The commit (`git describe`, where git was there at build time; the package version otherwise) and the first digits
/// of the running binary's SHA-256: a commit alone cannot tell two builds of a tree with changes apart.
pub(crate) fn code_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let commit = option_env!("RETRIAL_GIT_DESCRIBE").unwrap_or(concat!("v", env!("CARGO_PKG_VERSION")));
        // On Linux this link leads to the running binary even after another build has replaced it.
        let binary = std::fs::read("/proc/self/exe").or_else(|_| std::fs::read(std::env::current_exe()?));
        match binary {
            Ok(bytes) => format!("{commit} build {}", &hex(&Sha256::digest(bytes))[..8]),
            Err(_) => commit.to_string(),
        }
    })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Processor seconds of the calling thread since it started; none where the system does not tell.
fn thread_cpu_seconds() -> Option<f64> {
    Some(cpu_time::ThreadTime::try_now().ok()?.as_duration().as_secs_f64())
}

/// Processor seconds of all threads of the rayon pool that the caller runs in, since the pool was built.
pub(crate) fn pool_cpu_seconds() -> Option<f64> {
    rayon::broadcast(|_| thread_cpu_seconds()).into_iter().sum()
}
