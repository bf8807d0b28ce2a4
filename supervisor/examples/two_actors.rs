//! Two toy actors under one supervisor: a ticker that sends a number now and then, and an adder that sums them up.
//!
//! The adder has a defect: it panics at 3. The ticker is made to hang. Each is restarted alone, the other carries on, and in the
//! end both stop in order. Run it with `cargo run -p quorate-supervisor --example two_actors`; it takes about three seconds.

use std::{error::Error, time::Duration};

use actix::prelude::*;
use log::{LevelFilter, Log, Metadata, Record};
use quorate_supervisor::{
    ActorSpec, Fault, Mailbox, RestartPolicy, SupervisedActor, Supervisor, SupervisorConfig,
};

const MILLI: Duration = Duration::from_millis(1);

/// What the adder is told. A real actor has an enum here.
#[derive(Message)]
#[rtype(result = "()")]
struct Add(u64);

struct Adder {
    sum: u64,
}

impl Actor for Adder {
    type Context = Context<Self>;
}

impl Supervised for Adder {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.sum = 0;
    }
}

impl SupervisedActor for Adder {
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseFuture<()> {
        println!("      adder: drained at {}", self.sum);
        Box::pin(std::future::ready(()))
    }
}

impl Handler<Add> for Adder {
    type Result = ();

    fn handle(&mut self, Add(number): Add, _: &mut Context<Self>) {
        assert_ne!(number, 3, "I cannot add threes");
        self.sum += number;
        println!("      adder: +{number} = {}", self.sum);
    }
}

struct Ticker {
    next: u64,
    adder: Mailbox<Add>,
}

impl Actor for Ticker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(150 * MILLI, |ticker, _| {
            ticker.adder.send_or_log("add", Add(ticker.next));
            ticker.next += 1;
        });
    }
}

impl Supervised for Ticker {
    /// Goes on counting: what is not reset here survives a restart.
    fn restarting(&mut self, _: &mut Context<Self>) {}
}

impl SupervisedActor for Ticker {}

fn main() -> Result<(), Box<dyn Error>> {
    log::set_logger(&ToStdout).map_err(|error| error.to_string())?;
    log::set_max_level(LevelFilter::Info);
    System::new().block_on(async {
        // Shorter than the defaults, so that there is something to see.
        let supervisor = Supervisor::new(SupervisorConfig {
            heartbeat: 100 * MILLI,
            hang_after: 500 * MILLI,
            restart: RestartPolicy {
                first_delay: 200 * MILLI,
                ..RestartPolicy::default()
            },
            fault_injection: true,
            ..SupervisorConfig::default()
        })?;
        let adder = supervisor.reserve::<Adder>(ActorSpec::new("Adder"))?;
        let ticker = supervisor.reserve::<Ticker>(ActorSpec::new("Ticker"))?;
        let to_adder = adder.mailbox();
        adder.run(|_| Adder { sum: 0 })?;
        ticker.run(move |_| Ticker {
            next: 1,
            adder: to_adder,
        })?;

        tokio::time::sleep(1200 * MILLI).await;
        supervisor.inject("Ticker", Fault::Hang)?;
        tokio::time::sleep(1500 * MILLI).await;
        for actor in supervisor.statuses() {
            let (name, state, restarts) = (actor.name, actor.phase.label(), actor.restarts);
            let kind = actor.last_failure.map_or("none", |failure| failure.kind);
            println!("{name}: {state}, restarts {restarts}, last failure {kind}");
        }
        // A program that runs on waits instead: supervisor.run_until_end(&["Ticker", "Adder"], SHUTDOWN_GRACE)
        let report = supervisor
            .shutdown(&["Ticker", "Adder"], Duration::from_secs(1))
            .await;
        println!("nothing was lost at the end: {}", report.is_clean());
        Ok(())
    })
}

struct ToStdout;

impl Log for ToStdout {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        println!("{:5} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}
