//! What keeps a key in memory from ending up in a file, or in another process of the same user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Has the system write no core of this process, whatever ends it, and lets no other process of this user look into its memory.
/// Processes that it starts are held to the first too.
///
/// # Errors
/// The system refuses; the reason as a line for the log.
pub(crate) fn keep_memory_private() -> Result<(), String> {
    const NONE: Rlimit = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, NONE)
        .map_err(|error| format!("core dumps stay possible: reason=\"{error}\""))?;
    // A core that goes to a program and not to a file ignores the limit, and heeds this.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| {
        format!("other processes of this user can read this one's memory: reason=\"{error}\"")
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn no_core_is_written_and_nobody_looks_in() {
        keep_memory_private().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
