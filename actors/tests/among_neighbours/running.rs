//! Time, and a supervisor that allows faults.

use std::{future::Future, time::Duration};

use actix::System;
use quorate_supervisor::{Fault, Phase, Supervisor, SupervisorConfig};
use tokio::time::{Instant, sleep};

/// Generous: the machine may be busy. In paused time it costs nothing.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a test on one thread whose time is paused: it jumps to the next timer whenever nothing else is to be done.
pub(crate) fn in_paused_time<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(async {
        tokio::time::pause();
        test.await
    })
}

/// Runs a test on one thread in real time.
pub(crate) fn in_real_time<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(test)
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Sleeps until this long after `start`; time must not have passed it.
pub(crate) async fn until(start: Instant, elapsed: Duration) {
    assert!(start.elapsed() <= elapsed, "{:?} is over", elapsed);
    tokio::time::sleep_until(start + elapsed).await;
}

pub(crate) fn supervisor() -> Supervisor {
    Supervisor::new(SupervisorConfig {
        fault_injection: true,
        ..SupervisorConfig::default()
    })
    .unwrap()
}

/// Has the actor panic and waits until it runs again.
pub(crate) async fn panic_and_restart(supervisor: &Supervisor, name: &str) {
    let status = || {
        let all = supervisor.statuses();
        all.into_iter().find(|status| status.name == name).unwrap()
    };
    eventually("it runs", || (status().phase == Phase::Running).then_some(())).await;
    let before = status().restarts;
    supervisor.inject(name, Fault::Panic).unwrap();
    eventually("it runs again", || {
        (status().restarts > before && status().phase == Phase::Running).then_some(())
    })
    .await;
}
