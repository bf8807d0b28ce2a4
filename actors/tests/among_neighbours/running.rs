//! Time, and a supervisor that allows faults.

use std::{future::Future, time::Duration};

use actix::System;
use quorate_supervisor::{Fault, Phase, Supervisor, SupervisorConfig};
use quorate_testkit::wait::eventually;
use tokio::time::Instant;

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
    eventually("it runs", async || {
        (status().phase == Phase::Running).then_some(())
    })
    .await;
    let before = status().restarts;
    supervisor.inject(name, Fault::Panic).unwrap();
    eventually("it runs again", async || {
        (status().restarts > before && status().phase == Phase::Running).then_some(())
    })
    .await;
}
